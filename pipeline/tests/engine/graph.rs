//! What a document becomes, and what is said about one that is wrong.

use crate::support::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let errors = Bench::new().build(text).expect_err("the document should be refused").to_string();
    assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn all_mistakes_of_all_components_are_told_at_once_with_their_places() {
    check(
        "
receivers:
  inptu:
  input: {prot: 1}
  input/2: {impossible: true}
processors: {hold: }
exporters:
  local:
    colour: red
    sending_queue: {queue_size: 0}
  nowhere:
service:
  pipelines:
    logs: {receivers: [input], exporters: [local]}
",
        &[
            "test.yaml:3:3: receivers.inptu: unknown type of receiver `inptu`; did you mean `input`?",
            "test.yaml:4:11: receivers.input: unknown key `prot`; did you mean `port`?",
            "test.yaml:5:25: receivers.input/2.impossible: can't be",
            "test.yaml:6:14: processors.hold: missing `period`; add it",
            "test.yaml:9:5: exporters.local: unknown key `colour`; there is nothing to set here",
            "test.yaml:10:33: exporters.local.sending_queue.queue_size: must be positive; `enabled: false` switches the queue off",
            "test.yaml:11:3: exporters.nowhere: unknown type of exporter `nowhere`; known types: local, far",
        ],
    );
}

#[tokio::test]
async fn a_circle_of_derived_streams_is_refused_with_its_path() {
    check(
        "
receivers: {input: }
processors: {derive: , derive/2: }
exporters: {local: }
service:
  pipelines:
    logs: {receivers: [input, derive/2], processors: [derive], exporters: [local]}
    logs/b: {receivers: [derive], processors: [derive/2], exporters: [local]}
",
        &["test.yaml:7:5: service.pipelines: what is derived comes back to where it is made: \
           `logs` → `derive` → `logs/b` → `derive/2` → `logs`; break the circle"],
    );
}

#[tokio::test]
async fn sources_that_nobody_runs_and_connectors_that_lead_nowhere_are_refused() {
    check(
        "
receivers: {input: }
processors: {derive: }
connectors: {derive/lost: , derive/found: }
exporters: {local: }
service:
  pipelines:
    logs: {receivers: [input, derive], exporters: [derive/lost]}
    logs/b: {receivers: [derive/found], exporters: [local]}
",
        &[
            "test.yaml:8:31: service.pipelines.logs.receivers: \
             no pipeline has the processor `derive`; add it to the `processors` of one",
            "test.yaml:8:52: service.pipelines.logs.exporters: \
             connector `derive/lost` leads nowhere; name it among the `receivers` of a pipeline",
            "test.yaml:9:26: service.pipelines.logs/b.receivers: \
             connector `derive/found` is nobody's exporter; name it among the `exporters` of a pipeline",
        ],
    );
}

#[tokio::test]
async fn unused_components_are_checked_and_warned_of_but_not_started() {
    let bench = Bench::new();
    let graph = bench.graph(
        "
receivers: {input: , input/spare: }
exporters: {local: , far: }
service: {pipelines: {logs: {receivers: [input], exporters: [local]}}}
",
    );
    let warnings: Vec<String> = graph.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "test.yaml:2:22: receivers.input/spare: `input/spare` is configured but no pipeline uses it, so it is not started",
            "test.yaml:3:22: exporters.far: `far` is configured but no pipeline uses it, so it is not started",
        ]
    );
    assert_eq!(bench.notes(), Vec::<String>::new(), "building starts and binds nothing");
}

#[tokio::test]
async fn the_diagram_shows_branches_and_derived_streams() {
    let graph = Bench::new().graph(
        "
receivers: {input: }
processors: {derive: }
connectors: {derive/c: }
exporters: {local: , far: }
service:
  pipelines:
    logs: {receivers: [input], processors: [derive], exporters: [local, derive/c]}
    logs/b: {receivers: [derive, derive/c], exporters: [far]}
",
    );
    assert_eq!(
        graph.mermaid(),
        r#"flowchart LR
  c_derive_2f_c{{"derive/c"}}
  e_far[/"far"/]
  e_local[/"local"/]
  r_input(["input"])
  subgraph p_logs["logs"]
    in_logs(( ))
    p_logs_s_derive["derive"]
    in_logs --> p_logs_s_derive
  end
  subgraph p_logs_2f_b["logs/b"]
    in_logs_2f_b(( ))
  end
  r_input --> in_logs
  p_logs_s_derive --> e_local
  p_logs_s_derive --> c_derive_2f_c
  c_derive_2f_c -. derives .-> in_logs_2f_b
  in_logs_2f_b --> e_far
  p_logs_s_derive -. derives .-> in_logs_2f_b
"#
    );
}
