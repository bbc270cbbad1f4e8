//! The rules of this repository that a compiler does not check.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// A crate may use these crates of the workspace, and no others.
const EDGES: [(&str, &[&str]); 5] = [
    ("config", &[]),
    ("pipeline", &["config"]),
    ("receivers", &["config", "pipeline"]),
    ("processors", &["config", "pipeline"]),
    ("exporters", &["config", "pipeline"]),
];
/// Crates by which a processor could wait, or reach a network or a file format.
const NOT_FOR_PROCESSORS: [&str; 8] =
    ["tokio", "async-trait", "hyper", "http", "reqwest", "rustls", "serde_yaml", "serde_json"];
/// Only `config` reads YAML and the environment.
const ONLY_FOR_CONFIG: [&str; 3] = ["serde_yaml", "saphyr-parser", "figment"];
/// The folders of components, and the file that lists those of a folder.
const COMPONENTS: [(&str, &str); 4] = [
    ("receivers/src", "receivers/src/lib.rs"),
    ("processors/src", "processors/src/lib.rs"),
    ("exporters/src", "exporters/src/lib.rs"),
    ("src/extensions", "src/extensions.rs"),
];
const CODE_LINES_MAX: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository, by its path from the top, without what is built or downloaded.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !matches!(
                    name,
                    "target" | ".git" | "node_modules" | "corpus" | "artifacts" | "__pycache__"
                ) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn text(path: &str) -> String {
    read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files() -> Vec<String> {
    files("").into_iter().filter(|path| path.ends_with(".rs")).collect()
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

/// The code of a file, up to its tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn crates_depend_one_way() {
    let mut complaints = Vec::new();
    for (name, allowed) in EDGES {
        for dependency in dependencies(&text(&format!("{name}/Cargo.toml"))) {
            let own = dependency.strip_prefix("watershed-");
            if own.is_some_and(|own| !allowed.contains(&own)) {
                complaints.push(format!("{name} must not use {dependency}"));
            }
            if name != "config" && ONLY_FOR_CONFIG.contains(&dependency.as_str()) {
                complaints.push(format!("only config may use {dependency}, {name} does too"));
            }
            if name == "processors" && NOT_FOR_PROCESSORS.contains(&dependency.as_str()) {
                complaints.push(format!("processors do no I/O, so that they must not use {dependency}"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_component_is_in_the_list_of_its_crate() {
    let mut complaints = Vec::new();
    for (folder, list_file) in COMPONENTS {
        let list = text(list_file);
        let kind = folder.trim_end_matches("/src").trim_start_matches("src/").trim_end_matches('s');
        let mut letters = kind.chars();
        let trait_name = format!("{}{}Config for", letters.next().unwrap().to_uppercase(), letters.as_str());
        for path in files(folder) {
            let text = text(&path);
            if !code(&text).any(|line| line.starts_with("impl ") && line.contains(&trait_name)) {
                continue;
            }
            let module = Path::new(&path).file_stem().unwrap().to_str().unwrap();
            if !list.contains(&format!("{kind}::<{module}::Config>()")) {
                complaints.push(format!("{path} is not in ALL of {list_file}"));
            }
            if !text.contains(&format!("const TYPE: &'static str = \"{module}\"")) {
                complaints.push(format!("{path} is a component of another name than its file"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn a_component_uses_no_other_component() {
    let mut complaints = Vec::new();
    for (folder, _) in COMPONENTS {
        let paths = files(folder);
        let components: Vec<&str> = paths
            .iter()
            .filter(|path| {
                code(&text(path)).any(|line| line.starts_with("impl ") && line.contains("Config for Config"))
            })
            .filter_map(|path| Path::new(path.as_str()).file_stem()?.to_str())
            .collect();
        for path in &paths {
            let own = path.trim_start_matches(folder).trim_start_matches('/');
            let is_sibling = !own.contains('/');
            let own = own.split(['/', '.']).next().unwrap();
            for other in components.iter().filter(|other| **other != own) {
                let (whole, beside) = (format!("crate::{other}::"), format!("super::{other}::"));
                let uses = |line: &str| line.contains(&whole) || (is_sibling && line.contains(&beside));
                if code(&text(path)).any(uses) {
                    complaints.push(format!(
                        "{path} uses the component {other}; move what both need to a file of its own"
                    ));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let lacking = rust_files().into_iter().filter(|path| {
        let text = text(path);
        let first = text.lines().next().unwrap_or_default();
        !first.starts_with("//! ") || first.len() < 12
    });
    assert_none(
        &lacking.map(|path| format!("{path} does not begin with a comment `//!`")).collect::<Vec<_>>(),
    );
}

#[test]
fn files_are_short_enough_to_be_read() {
    let sources = rust_files().into_iter().filter(|path| path.contains("src/"));
    let long = sources.filter_map(|path| {
        let lines = code(&text(&path)).count();
        (lines > CODE_LINES_MAX)
            .then(|| format!("{path} has {lines} lines of code; split the idea, at most {CODE_LINES_MAX}"))
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let manifests = files("").into_iter().filter(|path| path.ends_with("Cargo.toml"));
    // The fuzz targets are a workspace of their own, with a compiler of their own.
    let manifests = manifests.filter(|path| !path.contains("fuzz/"));
    let lacking = manifests.filter(|path| !text(path).contains("[lints]\nworkspace = true"));
    assert_none(
        &lacking.map(|path| format!("{path} has no `[lints]` with `workspace = true`")).collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_left_to_be_done_and_no_path_of_a_machine_is_named() {
    // Put together here, so that this file does not name them itself.
    let words = ["TO-DO", "FIX-ME", "XX-X", "/ro-ot/", "/Us-ers/", "C:-\\\\", "todo-!("]
        .map(|word| word.replace('-', ""));
    let mut complaints = Vec::new();
    let names = [".rs", ".md", ".toml", ".yaml", ".yml", ".py", ".js", "Makefile"];
    for path in files("").iter().filter(|path| names.iter().any(|name| path.ends_with(name))) {
        for (number, line) in text(path).lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                complaints.push(format!("{path}:{}: `{word}`", number + 1));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_paths_that_documents_name_exist() {
    let mut complaints = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = text(document);
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|path| is_path(path)) {
            if !root().join(path).exists() {
                complaints.push(format!("{document} names `{path}`, which does not exist"));
            }
        }
    }
    assert_none(&complaints);
}

/// Whether a quotation means a file or folder of this repository.
fn is_path(text: &str) -> bool {
    let top: BTreeSet<String> = read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .filter(|name| name != "target")
        .collect();
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    let first = PathBuf::from(text);
    let first = first.components().next().map(|part| part.as_os_str().to_str().unwrap().to_owned());
    is_plain && text.contains('/') && first.is_some_and(|first| top.contains(&first))
}
