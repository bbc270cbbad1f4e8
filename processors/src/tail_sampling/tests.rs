use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use watershed_config::Section;
use watershed_pipeline::testing::{Drive, build};
use watershed_pipeline::{Batch, Context, Kind, Processor, ProcessorConfig, Record, Signal, State};

use super::{Config, TailSampler};

/// A span as a test writes it: trace, whether it is the root, milliseconds, status.
type Wanted = (u8, bool, u64, i32);

fn spans(wanted: &[Wanted]) -> Batch {
    let mut builder = Batch::builder(Signal::Traces);
    for (trace, is_root, milliseconds, status) in wanted {
        builder.push(|span| {
            let parent = if *is_root { [0; 8] } else { [9; 8] };
            span.set_span_ids([*trace; 16], [1; 8], parent);
            span.set_span_times(1_000_000_000, 1_000_000_000 + milliseconds * 1_000_000);
            span.set_status(*status, "");
        });
    }
    builder.build()
}

fn logs(traces: &[u8]) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    traces.iter().for_each(|trace| builder.push(|log| log.set_trace_context([*trace; 16], [1; 8], 0)));
    builder.build()
}

/// The traces of what came out, with the policy that kept them.
fn shown(batches: &[Batch]) -> Vec<(u8, String)> {
    let show = |record: Record<'_>| {
        let policy = record.attribute("tailsampling.policy").and_then(|value| value.as_str());
        (record.trace_id()[0], policy.unwrap_or_default().to_owned())
    };
    let mut all: Vec<_> = batches.iter().flat_map(Batch::records).map(show).collect();
    all.sort();
    all
}

fn pairs(expected: &[(u8, &str)]) -> Vec<(u8, String)> {
    expected.iter().map(|(trace, policy)| (*trace, (*policy).to_owned())).collect()
}

#[track_caller]
fn drive(yaml: &str) -> Drive<TailSampler> {
    Drive::new(build::<Config>(yaml).unwrap_or_else(|errors| panic!("{errors}")))
}

/// Several instances of one configuration, as the engine makes them for lanes and pipelines.
fn instances(config: &Config, count: usize) -> Vec<Drive<TailSampler>> {
    let cx = Context::detached(Kind::Processor, "tail_sampling".parse().unwrap());
    let start = Instant::now();
    let one = |_| {
        let mut drive = Drive::new(config.build(&cx).unwrap());
        drive.now = start;
        drive
    };
    (0..count).map(one).collect()
}

fn config(yaml: &str) -> Config {
    Section::from_text("tail_sampling", yaml).unwrap().read().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

const ERRORS_AND_SLOW: &str = "{decision_wait: 10s, decision_wait_after_root_received: 2s, policies: [
    {name: errors, type: status_code, status_code: {status_codes: [ERROR]}},
    {name: slow, type: latency, latency: {threshold_ms: 500}}]}";

#[test]
fn a_trace_is_decided_as_a_whole_when_its_time_has_come() {
    let mut drive = drive(ERRORS_AND_SLOW);
    let passed =
        drive.process(spans(&[(1, false, 10, 0), (2, false, 10, 1), (3, false, 600, 0), (0, true, 1, 0)]));
    assert_eq!(shown(&passed), pairs(&[(0, "")]), "what has no trace id passes");
    assert_eq!(drive.advance(9 * SECOND).len(), 0);
    assert_eq!(drive.process(spans(&[(1, false, 20, 2), (3, false, 1, 0)])).len(), 0);
    assert_eq!(drive.processor.held(), 5);
    let passed = drive.advance(SECOND);
    assert_eq!(shown(&passed), pairs(&[(1, "errors"), (1, "errors"), (3, "slow"), (3, "slow")]));
    assert_eq!((drive.processor.held(), drive.processor.core.memory.used()), (0, 0));
}

#[test]
fn the_root_span_shortens_the_wait_and_late_spans_follow_the_decision() {
    let mut drive = drive(ERRORS_AND_SLOW);
    drive.process(spans(&[(1, true, 10, 2), (2, true, 10, 0)]));
    assert_eq!(drive.advance(Duration::from_millis(1999)).len(), 0);
    assert_eq!(shown(&drive.advance(Duration::from_millis(101))), pairs(&[(1, "errors")]));
    let passed = drive.process(spans(&[(2, false, 900, 2), (1, false, 1, 0)]));
    assert_eq!(shown(&passed), pairs(&[(1, "errors")]));
    let late = passed[0].records().next().unwrap().attribute("tailsampling.cached_decision");
    assert_eq!(late, Some(watershed_pipeline::Value::Bool(true)));
}

#[test]
fn logs_follow_the_decision_on_their_trace() {
    let config = config(ERRORS_AND_SLOW);
    let [mut traces, mut records] = instances(&config, 2).try_into().ok().unwrap();
    assert_eq!(shown(&records.process(logs(&[0, 1, 2, 3]))), pairs(&[(0, "")]));
    records.advance(9 * SECOND);
    traces.now = records.now;
    traces.process(spans(&[(1, false, 1, 2), (2, false, 1, 0)]));
    for _ in 0..10 {
        assert_eq!(records.advance(SECOND).len(), 0);
        let decided = traces.advance(SECOND);
        assert!(decided.iter().all(|batch| batch.len() == 1));
    }
    assert_eq!(shown(&records.advance(2 * SECOND)), pairs(&[(1, "errors"), (3, "no_trace")]));
    assert_eq!(shown(&records.process(logs(&[1, 2]))), pairs(&[(1, "errors")]));
}

/// Whether a policy keeps a trace: a fast error with attributes, of two spans.
#[track_caller]
fn check(policies: &str, expected: &str) {
    let mut builder = Batch::builder(Signal::Traces).resource(|resource| {
        resource.set_attribute("service.name", "shop");
    });
    for status in [0, 2] {
        builder.push(|span| {
            span.set_span_ids([1; 16], [1; 8], [9; 8]);
            span.set_span_times(1_000_000_000, 1_250_000_000);
            span.set_status(status, "");
            span.set_trace_state("a=1, vendor=blue");
            span.set_attribute("http.status", 503_i64);
            span.set_attribute("ratio", 0.5);
            span.set_attribute("debug", true);
        });
    }
    let mut drive = drive(&format!("{{decision_wait: 1s, policies: [{policies}]}}"));
    drive.process(builder.build());
    let passed = shown(&drive.advance(SECOND));
    let expected = if expected.is_empty() { vec![] } else { pairs(&[(1, expected), (1, expected)]) };
    assert_eq!(passed, expected, "{policies}");
}

/// A policy named `p`.
fn policy(kind: &str, options: &str) -> String {
    format!("{{name: p, type: {kind}, {kind}: {{{options}}}}}")
}

#[test]
fn each_policy_keeps_what_it_says() {
    let cases: &[(&str, &str, bool)] = &[
        ("latency", "threshold_ms: 250", true),
        ("latency", "threshold_ms: 251", false),
        ("latency", "threshold_ms: 249, upper_threshold_ms: 250", true),
        ("latency", "threshold_ms: 250, upper_threshold_ms: 300", false),
        ("status_code", "status_codes: [OK, ERROR]", true),
        ("status_code", "status_codes: [OK]", false),
        ("numeric_attribute", "key: http.status, min_value: 500, max_value: 503", true),
        ("numeric_attribute", "key: http.status, min_value: 504", false),
        ("numeric_attribute", "key: ratio, max_value: 1", true),
        ("string_attribute", "key: service.name, values: [other, shop]", true),
        ("string_attribute", "key: service.name, values: [sho]", false),
        ("string_attribute", "key: service.name, values: [^sh], enabled_regex_matching: true", true),
        ("string_attribute", "key: http.status, values: ['503']", false),
        ("boolean_attribute", "key: debug, value: true", true),
        ("boolean_attribute", "key: debug, value: false", false),
        ("trace_state", "key: vendor, values: [red, blue]", true),
        ("trace_state", "key: vendor, values: [red]", false),
        ("span_count", "min_spans: 2", true),
        ("span_count", "min_spans: 1, max_spans: 1", false),
        ("ottl_condition", "span: ['attributes[\"http.status\"] >= 500']", true),
        ("ottl_condition", "spanevent: ['name == \"x\"']", false),
        ("probabilistic", "sampling_percentage: 100", true),
        ("probabilistic", "sampling_percentage: 0", false),
        ("rate_limiting", "spans_per_second: 2", true),
        ("rate_limiting", "spans_per_second: 1", false),
        ("bytes_limiting", "bytes_per_second: 10000", true),
        ("bytes_limiting", "bytes_per_second: 10000, burst_capacity: 10", false),
    ];
    for (kind, options, is_kept) in cases {
        let own = policy(kind, options);
        check(&own, if *is_kept { "p" } else { "" });
        // And within others; a limit that is asked twice has room once.
        let sub = own.replace("name: p", "name: sub");
        check(
            &format!("{{name: n, type: not, not: {{not_sub_policy: {sub}}}}}"),
            if *is_kept { "" } else { "n" },
        );
        let both = format!("[{{name: all, type: always_sample}}, {sub}]");
        check(
            &format!("{{name: a, type: and, and: {{and_sub_policy: {both}}}}}"),
            if *is_kept { "a" } else { "" },
        );
        check(
            &format!(
                "{{name: all, type: always_sample}}, {{name: d, type: drop, drop: {{drop_sub_policy: {both}}}}}"
            ),
            if *is_kept { "" } else { "all" },
        );
    }
    check("{name: flags, type: trace_flags}", "");
}

#[test]
fn the_first_match_decides_and_exclusions_come_before_all() {
    let errors = "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}";
    let all = "{name: all, type: always_sample}";
    let without = |values: &str| {
        let options = format!("{{key: service.name, values: [{values}], invert_match: true}}");
        format!("{{name: without, type: string_attribute, string_attribute: {options}}}")
    };
    check(&format!("{errors}, {all}"), "errors");
    check(&format!("{all}, {errors}"), "all");
    check(&format!("{all}, {}", without("shop")), "");
    check(&format!("{}, {all}", without("other")), "all");
    check(&without("other"), "without");
    check(&format!("{}, {}", without("other"), errors.replace("ERROR", "OK")), "");
}

#[test]
fn a_composite_policy_keeps_to_its_shares_exactly() {
    let mut drive = drive(
        "{decision_wait: 1s, policies: [{name: c, type: composite, composite: {max_total_spans_per_second: 10,
           policy_order: [errors, rest], composite_sub_policy: [
             {name: rest, type: always_sample},
             {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}],
           rate_allocation: [{policy: errors, percent: 40}]}}]}",
    );
    let wanted: Vec<Wanted> = (1..=6).map(|trace| (trace, false, 1, 2)).collect();
    drive.process(spans(&wanted));
    let wanted: Vec<Wanted> = (7..=15).map(|trace| (trace, false, 1, 0)).collect();
    drive.process(spans(&wanted));
    let passed = drive.advance(SECOND);
    let part =
        |record: Record<'_>| record.attribute("tailsampling.composite_policy")?.as_str().map(str::to_owned);
    let parts: Vec<String> = passed.iter().flat_map(Batch::records).filter_map(part).collect();
    let count = |name: &str| parts.iter().filter(|part| *part == name).count();
    assert_eq!((count("errors"), count("rest")), (4, 6));
}

#[test]
fn chance_keeps_its_share_and_says_so_in_the_trace_state() {
    let mut drive = drive(
        "{decision_wait: 1s, record_policy: false, policies: [
           {name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}]}",
    );
    let mut builder = Batch::builder(Signal::Traces);
    for number in 0_u64..2000 {
        // As different as random ids are; the hash is weak where only the last bytes change.
        let id =
            (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
        builder.push(|span| span.set_span_ids(id, [1; 8], [0; 8]));
    }
    drive.process(builder.build());
    let passed = drive.advance(SECOND);
    let kept: usize = passed.iter().map(Batch::len).sum();
    assert!((900..1100).contains(&kept), "{kept}");
    assert!(passed.iter().flat_map(Batch::spans).all(|span| span.trace_state() == "ot=th:8"));
    assert!(passed.iter().flat_map(Batch::records).all(|record| record.attributes().is_empty()));
}

/// What comes out at once when five traces of one span each find room for about three, and what at the end.
fn overflow(mode: &str) -> (Vec<u8>, Vec<u8>) {
    let mut drive = drive(&format!(
        "{{decision_wait: 1s, max_memory: 2000, on_overflow: {mode}, policies: [
           {{name: even, type: status_code, status_code: {{status_codes: [ERROR]}}}}]}}"
    ));
    let mut at_once = Vec::new();
    for trace in 1..=5 {
        at_once.extend(drive.process(spans(&[(trace, false, 1, if trace % 2 == 0 { 2 } else { 0 })])));
        drive.now += Duration::from_millis(1);
    }
    let at_end = drive.advance(2 * SECOND);
    let traces = |batches: &[Batch]| shown(batches).into_iter().map(|(trace, _)| trace).collect();
    (traces(&at_once), traces(&at_end))
}

#[test]
fn where_there_is_no_room_the_options_say_what_happens() {
    assert_eq!(overflow("decide_oldest"), (vec![2], vec![4]));
    assert_eq!(overflow("pass"), (vec![4, 5], vec![2]));
    assert_eq!(overflow("drop"), (vec![], vec![2]));
}

#[test]
fn a_stop_without_a_storage_directory_decides_on_what_is_known() {
    let wanted = [(1, false, 1, 2), (2, false, 1, 0)];
    let mut first = drive(ERRORS_AND_SLOW);
    first.process(spans(&wanted));
    assert_eq!(shown(&first.drain()), pairs(&[(1, "errors")]));
    let mut second = drive(&ERRORS_AND_SLOW.replacen('{', "{drop_pending_traces_on_shutdown: true, ", 1));
    second.process(spans(&wanted));
    assert_eq!((second.drain().len(), second.processor.held()), (0, 0));
}

#[test]
fn the_other_half_of_a_trace_may_come_after_a_restart() {
    let mut before = drive(ERRORS_AND_SLOW);
    before.process(spans(&[(3, true, 1, 2)]));
    before.advance(3 * SECOND);
    before.process(spans(&[(1, false, 1, 2), (2, false, 1, 0)]));
    let kept = before.suspend();
    assert_eq!((kept.items(), before.processor.held(), before.drain().len()), (2, 0, 0));

    let mut after = drive(ERRORS_AND_SLOW);
    assert_eq!(after.resume(kept).len(), 0);
    let passed = after.process(spans(&[(1, false, 1, 0), (2, false, 700, 0), (3, false, 1, 0)]));
    assert_eq!(shown(&passed), pairs(&[(3, "errors")]), "the decision is remembered");
    assert_eq!(
        shown(&after.advance(10 * SECOND)),
        pairs(&[(1, "errors"), (1, "errors"), (2, "slow"), (2, "slow")])
    );
}

#[test]
fn mistakes_in_settings_are_named_with_their_place() {
    let cases = [
        ("{policies: []}", "policies: is empty"),
        (
            "{decision_wait: 0s, policies: [{name: a, type: always_sample}]}",
            "decision_wait: 0s leaves no time",
        ),
        ("{policies: [{name: a, type: latency}]}", "policies[0]: has the type `latency` and no options"),
        (
            "{policies: [{name: a, type: always_sample, latency: {threshold_ms: 1}}]}",
            "policies[0].latency: are options of another type than `always_sample`",
        ),
        (
            "{policies: [{name: a, type: always_sample}, {name: a, type: trace_flags}]}",
            "policies[1].name: `a` is taken",
        ),
        (
            "{policies: [{name: a, type: string_attribute, string_attribute:
               {key: k, values: ['('], enabled_regex_matching: true}}]}",
            "policies[0].string_attribute.values: regex parse error",
        ),
        (
            "{policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1,
               composite_sub_policy: [{name: b, type: always_sample}], policy_order: [c]}}]}",
            "policies[0].composite.policy_order[0]: `c` is no part; there is `b`",
        ),
        (
            "{policies: [{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop}]}}]}",
            "policies[0].and.and_sub_policy[0].type: a `drop` policy can't be part of another",
        ),
    ];
    for (yaml, expected) in cases {
        let error = build::<Config>(yaml).err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{error}");
    }
}

/// One step of a run: spans that come together, a pause before them in milliseconds.
fn step() -> impl Strategy<Value = (Vec<Wanted>, u64)> {
    let span = (1_u8..12, any::<bool>(), 0_u64..600, 0_i32..3);
    (prop::collection::vec(span, 0..12), 0_u64..400)
}

/// Several lanes with one configuration, fed as the engine feeds them.
struct Lanes {
    config: Config,
    lanes: Vec<Drive<TailSampler>>,
    passed: Vec<Batch>,
}

impl Lanes {
    fn new(yaml: &str, count: usize) -> Self {
        let config = config(yaml);
        Self { lanes: instances(&config, count), config, passed: Vec::new() }
    }

    fn process(&mut self, batch: Batch) {
        let State::Keyed(hash) = self.config.state() else { panic!("not keyed") };
        let lanes = NonZeroU64::new(self.lanes.len() as u64).unwrap();
        for (lane, part) in batch.partition(self.lanes.len(), |record| (hash(&record) % lanes) as usize) {
            self.passed.extend(self.lanes[lane].process(part));
        }
    }

    fn advance(&mut self, pause: u64) {
        self.lanes.iter_mut().for_each(|lane| self.passed.extend(lane.advance(Duration::from_millis(pause))));
    }

    /// Replaces all lanes by so many others, which take up what these hand over.
    fn restart(&mut self, yaml: &str, count: usize) {
        let kept: Vec<_> = self.lanes.iter_mut().map(Drive::suspend).collect();
        let mut next = Self::new(yaml, count);
        next.lanes.iter_mut().zip(&self.lanes).for_each(|(lane, before)| lane.now = before.now);
        // A lane of its own decodes what was handed over; the lanes divide it by trace.
        let mut decoder = Drive::new(Collect::default());
        for kept in kept {
            drop(decoder.resume(kept));
        }
        let Collect { batches, memory } = decoder.processor;
        for lane in &mut next.lanes {
            memory.iter().for_each(|memory| lane.processor.resume(memory));
        }
        batches.into_iter().for_each(|batch| next.process(batch));
        next.passed.append(&mut self.passed);
        *self = next;
    }
}

/// Takes what is handed over as it is.
#[derive(Default)]
struct Collect {
    batches: Vec<Batch>,
    memory: Vec<Vec<u8>>,
}

impl Processor for Collect {
    fn process(&mut self, batch: Batch, _: Instant, _: &mut watershed_pipeline::Out) {
        self.batches.push(batch);
    }

    fn resume(&mut self, memory: &[u8]) {
        self.memory.push(memory.to_vec());
    }
}

proptest! {
    #[test]
    fn property_all_spans_of_a_trace_share_their_fate_and_memory_stays_bounded(
        steps in prop::collection::vec(step(), 0..25), lanes in 1_usize..5, lanes_after in 1_usize..5,
        stop in any::<prop::sample::Index>(), memory in 1500_usize..12_000, traces in 0_usize..6,
        mode in prop::sample::select(vec!["decide_oldest", "pass", "drop"]),
    ) {
        let yaml = format!(
            "{{decision_wait: 1s, decision_wait_after_root_received: 300ms, max_memory: {memory}, num_traces: {traces},
               on_overflow: {mode}, policies: [
                 {{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}},
                 {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: 40}}}},
                 {{name: few, type: rate_limiting, rate_limiting: {{spans_per_second: 3}}}}]}}"
        );
        let mut run = Lanes::new(&yaml, lanes);
        let stop = stop.index(steps.len() + 1);
        let mut sent = [0_usize; 12];
        for (number, (wanted, pause)) in steps.iter().enumerate() {
            if number == stop {
                run.restart(&yaml, lanes_after);
            }
            wanted.iter().for_each(|(trace, ..)| sent[usize::from(*trace)] += 1);
            run.process(spans(wanted));
            prop_assert!(run.lanes[0].processor.core.memory.used() <= memory);
            run.advance(*pause);
            let held: usize = run.lanes.iter().map(|lane| lane.processor.held()).sum();
            let passed: usize = run.passed.iter().map(Batch::len).sum();
            prop_assert!(held + passed <= sent.iter().sum());
        }
        let rest: Vec<Batch> = run.lanes.iter_mut().flat_map(Drive::drain).collect();
        run.passed.extend(rest);
        prop_assert_eq!(run.lanes[0].processor.core.memory.used(), 0);
        let mut kept = [0_usize; 12];
        run.passed.iter().flat_map(Batch::records).for_each(|record| kept[usize::from(record.trace_id()[0])] += 1);
        for (trace, (kept, sent)) in kept.into_iter().zip(sent).enumerate() {
            prop_assert!(kept == 0 || kept == sent, "trace {}: {} of {}", trace, kept, sent);
        }
    }
}
