//! The pipelines as a Mermaid flow chart.

use std::collections::BTreeSet;

use watershed_config::{ComponentId, Document, Pipeline};

use super::topology::Topology;

/// Draws receivers, pipelines with their processors, connectors and exporters; derived streams are dotted.
pub(super) fn mermaid(document: &Document, topology: &Topology) -> String {
    let mut nodes = BTreeSet::new();
    let mut edges = Vec::new();
    let mut groups = String::new();
    for pipeline in &document.service.pipelines {
        draw(pipeline, topology, &mut nodes, &mut edges, &mut groups);
    }
    for pipeline in &document.service.pipelines {
        for id in &pipeline.processors {
            for target in topology.taps(&id.value) {
                if let Some(target) = document.service.pipelines.get(target) {
                    edges.push(format!("{} -. derives .-> {}", step(pipeline, &id.value), entry(target)));
                }
            }
        }
    }
    let mut text = "flowchart LR\n".to_owned();
    for node in &nodes {
        line(&mut text, node);
    }
    text.push_str(&groups);
    for edge in &edges {
        line(&mut text, edge);
    }
    text
}

fn draw(
    pipeline: &Pipeline,
    topology: &Topology,
    nodes: &mut BTreeSet<String>,
    edges: &mut Vec<String>,
    groups: &mut String,
) {
    line(groups, &format!("subgraph {}[\"{}\"]", key("p", &pipeline.id), pipeline.id));
    line(groups, &format!("  {}(( ))", entry(pipeline)));
    let mut last = entry(pipeline);
    for id in &pipeline.processors {
        let own = step(pipeline, &id.value);
        line(groups, &format!("  {own}[\"{}\"]", id.value));
        line(groups, &format!("  {last} --> {own}"));
        last = own;
    }
    line(groups, "end");
    for id in pipeline.receivers.iter().map(|id| &id.value) {
        if topology.is_receiver(id) {
            nodes.insert(format!("{}([\"{id}\"])", key("r", id)));
            edges.push(format!("{} --> {}", key("r", id), entry(pipeline)));
        } else if topology.connects(id) {
            edges.push(format!("{} -. derives .-> {}", key("c", id), entry(pipeline)));
        }
    }
    for id in pipeline.exporters.iter().map(|id| &id.value) {
        if topology.is_connector(id) {
            nodes.insert(format!("{}{{{{\"{id}\"}}}}", key("c", id)));
            edges.push(format!("{last} --> {}", key("c", id)));
        } else {
            nodes.insert(format!("{}[/\"{id}\"/]", key("e", id)));
            edges.push(format!("{last} --> {}", key("e", id)));
        }
    }
}

/// The point where everything that feeds a pipeline comes together.
fn entry(pipeline: &Pipeline) -> String {
    key("in", &pipeline.id)
}

fn step(pipeline: &Pipeline, id: &ComponentId) -> String {
    format!("{}_{}", key("p", &pipeline.id), key("s", id))
}

/// A name that Mermaid takes: the kind of node, then the id with everything unusual spelled as its code.
fn key(kind: &str, id: &impl std::fmt::Display) -> String {
    let spelled = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || letter == '_' => letter.to_string(),
        letter => format!("_{:x}_", u32::from(letter)),
    };
    id.to_string().chars().map(spelled).fold(format!("{kind}_"), |key, letter| key + &letter)
}

fn line(text: &mut String, line: &str) {
    text.push_str("  ");
    text.push_str(line);
    text.push('\n');
}
