//! Random interleavings of senders, time, far ends and stops, each followed by a check of all accounts.
//!
//! `SIM_SEED=n` replays one run; without it, a fixed range of seeds is tried.

#[cfg(test)]
#[path = "engine/support.rs"]
#[expect(dead_code, reason = "the bench serves several test programs")]
mod support;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::support::*;
    use fastrand::Rng;
    use watershed_pipeline::*;

    const RUNS: u64 = 300;

    #[test]
    fn nothing_is_lost_in_silence_whatever_happens_when() {
        let seeds = match std::env::var("SIM_SEED") {
            Ok(seed) => vec![seed.parse().expect("SIM_SEED is a whole number")],
            Err(_) => (0..RUNS).collect(),
        };
        for seed in seeds {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(simulate(seed));
        }
    }

    /// One random deployment under random load.
    async fn simulate(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let bench = Bench::new();
        for exporter in ["far", "local"] {
            bench.script(exporter, far_end(rng.fork()));
        }
        let text = deployment(&mut rng);
        let (stop, running) = start(bench.graph(&text));
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let mut clients = Vec::new();
        let mut next = 0;
        for _ in 0..rng.usize(1..40) {
            let numbers: Vec<i64> = (next..next + rng.i64(1..9)).collect();
            next += 10;
            let (bench, accepted) = (Arc::clone(&bench), Arc::clone(&accepted));
            clients.push(tokio::spawn(async move {
                if bench.send("input", logs(numbers.iter().copied())).await.is_ok() {
                    accepted.lock().unwrap().extend(numbers);
                }
            }));
            if rng.u8(..) < 60 {
                tokio::time::sleep(Duration::from_millis(rng.u64(0..4000))).await;
            }
            if rng.u8(..) < 20 {
                // A client that hangs up.
                clients.swap_remove(rng.usize(0..clients.len())).abort();
            }
        }
        stop.send(()).unwrap_or_default();
        let summary = running.await.unwrap().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for client in clients {
            drop(client.await);
        }
        let accepted = accepted.lock().unwrap().clone();
        check(seed, &bench, &summary, &accepted, &text);
    }

    fn deployment(rng: &mut Rng) -> String {
        let flag = |rng: &mut Rng| rng.bool();
        let (custody, wait, block) = (flag(rng), flag(rng), flag(rng));
        let (queue, batch) =
            (rng.usize(1..6), if flag(rng) { ", batch: {min_size: 5, max_size: 7}" } else { "" });
        let batch = if queue >= 5 { batch } else { "" };
        let elapsed = rng.u32(5..60);
        let mut chain = vec!["pass", "keyed", "hold", "derive"];
        rng.shuffle(&mut chain);
        chain.truncate(rng.usize(0..=4));
        let derived = if chain.contains(&"derive") {
            "logs/derived: {receivers: [derive], exporters: [local/derived]}"
        } else {
            ""
        };
        format!(
        "
receivers: {{input: }}
processors: {{pass: {{even: true}}, keyed: , derive: , hold: {{period: 3s, custody: {custody}}}}}
exporters:
  local: {{retry_on_failure: {{initial_interval: 1s, max_elapsed_time: {elapsed}s}}}}
  local/derived:
  far:
    timeout: 2s
    retry_on_failure: {{initial_interval: 1s, max_elapsed_time: {elapsed}s}}
    sending_queue: {{num_consumers: 2, sizer: items, queue_size: {queue}, wait_for_result: {wait}, block_on_overflow: {block}{batch}}}
service:
  pipelines:
    logs: {{receivers: [input], processors: [{}], exporters: [local, far]}}
    {derived}
",
        chain.join(", ")
    )
    }

    /// A far end that is moody.
    fn far_end(rng: Rng) -> impl Fn(Attempt) -> Answer + Send + Sync {
        let rng = Mutex::new(rng);
        move |attempt| {
            let mut rng = rng.lock().unwrap();
            let mood = rng.u8(0..20);
            let pause = Duration::from_millis(rng.u64(0..3000));
            Box::pin(async move {
                match mood {
                    0 => Err(ExportError::Reject { count: attempt.items.len(), reason: "bad".into() }),
                    1 => Err(ExportError::TooLarge { reason: "large".into() }),
                    2..8 => Err(retry((mood == 2).then_some(pause))),
                    8..14 => {
                        tokio::time::sleep(pause).await;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
        }
    }

    fn check(seed: u64, bench: &Bench, summary: &Summary, accepted: &[i64], text: &str) {
        let context = format!("replay with SIM_SEED={seed}: {summary}\n{text}");
        let items = |name: &str, labels: &[(&str, &str)]| bench.count(name, labels);
        // A client that hung up may have missed its answer.
        assert!(items("otelcol_receiver_accepted_log_records", &[]) >= accepted.len() as i128, "{context}");
        for processor in ["pass", "keyed", "hold", "derive"] {
            let count =
                |what: &str| items(&format!("otelcol_processor_{what}_items"), &[("processor", processor)]);
            let into = count("incoming") + count("added");
            let out =
                count("outgoing") + count("dropped") + count("merged") + count("refused") + count("held");
            assert_eq!(into, out, "{processor}: {context}");
            assert_eq!(count("held"), 0, "{processor}: {context}");
        }
        let is_wanted = |number: &&i64| !chain_has(text, "pass") || **number % 2 == 0;
        for exporter in ["far", "local"] {
            let count = |what: &str| {
                items(&format!("otelcol_exporter_{what}_log_records"), &[("exporter", exporter)])
            };
            let delivered = bench.delivered(exporter);
            assert_eq!(count("sent"), delivered.len() as i128, "{exporter}: {context}");
            assert_eq!(count("held"), 0, "{exporter}: {context}");
            assert!(count("send_failed") >= count("dropped"), "{exporter}: {context}");
            let missing =
                accepted.iter().filter(is_wanted).filter(|number| !delivered.contains(number)).count();
            assert!(
                missing as i128 <= count("dropped"),
                "{missing} records are missing at {exporter}: {context}"
            );
        }
        assert_eq!(items("otelcol_exporter_queue_size", &[]), 0, "{context}");
    }

    fn chain_has(text: &str, processor: &str) -> bool {
        text.lines().any(|line| line.contains("[input]") && line.contains(processor))
    }
}
