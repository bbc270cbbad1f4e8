//! Documents that are made from the components, and the YAML in documents: true, or the test fails.
#![cfg(test)]

mod support {
    pub(crate) mod outcome;
    pub(crate) mod program;
}

use std::fs;
use std::path::{Path, PathBuf};

use support::outcome::watershed;
use support::program::config_file;
use watershed_pipeline::Description;

/// What a part of a configuration stands in while it is checked.
const FRAME: &str = "
receivers: {otlp/frame: {protocols: {grpc: }}}
exporters: {nop/frame: }
service: {pipelines: {logs: {receivers: [otlp/frame], exporters: [nop/frame]}}}
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a generated document with the file, which is written anew when it differs.
#[track_caller]
fn check_generated(path: &str, expected: &str) {
    let file = root().join(path);
    if fs::read_to_string(&file).is_ok_and(|present| present == expected) {
        return;
    }
    fs::write(&file, expected).unwrap();
    panic!("{path} was out of date and has been written anew; look at it and commit it");
}

#[track_caller]
fn check_valid(what: &str, paths: &[&Path]) {
    let args = paths.iter().flat_map(|path| ["--config", path.to_str().unwrap()]);
    let args: Vec<&str> = std::iter::once("validate").chain(args).collect();
    let outcome = watershed(&args);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{what}:\n{}", outcome.stderr);
}

/// The YAML blocks of a Markdown text.
fn yaml_blocks(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Puts files that exist in the place of the certificates and keys that an example names.
fn with_certificates(yaml: &str) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = config_file("docs_certificate.pem", &made.cert.pem());
    let key = config_file("docs_key.pem", &made.signing_key.serialize_pem());
    let mut text = String::new();
    for line in yaml.lines() {
        let file = match line.split_once("_file:") {
            Some((before, _)) if before.ends_with("key") => Some((before, &key)),
            Some((before, rest)) if rest.trim_end().ends_with(".pem") => Some((before, &certificate)),
            _ => None,
        };
        match file {
            Some((before, file)) => text.push_str(&format!("{before}_file: {}\n", file.display())),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn the_reference_is_made_from_the_components() {
    check_generated("config/reference.md", &watershed::reference(&watershed::standard_registry()));
}

#[test]
fn the_schema_is_made_from_the_settings_types() {
    let schema = watershed::schema(&watershed::standard_registry());
    check_generated("config/schema.json", &format!("{schema:#}\n"));
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(!schema["$defs"][name].is_null(), "{name} is referred to and not defined");
    }
}

#[test]
fn the_yaml_on_each_components_page_works() {
    let registry = watershed::standard_registry();
    let check = |kind: &str, description: &Description| {
        let page = description.page();
        let blocks = yaml_blocks(&page);
        assert!(!blocks.is_empty(), "the page of {kind} {} shows no YAML", description.type_name);
        for (number, block) in blocks.iter().map(|block| with_certificates(block)).enumerate() {
            let what = format!("{kind} {} block {}", description.type_name, number + 1);
            let is_whole = block
                .lines()
                .any(|line| line.starts_with("service:") || line.starts_with(&format!("{kind}:")));
            let indented = block.replace('\n', "\n  ");
            let text = if is_whole { block.clone() } else { format!("{kind}:\n  {indented}") };
            let name = what.replace(' ', "_");
            let frame = config_file(&format!("frame_{name}.yaml"), FRAME);
            let part = config_file(&format!("{name}.yaml"), &text);
            let is_alone = block.lines().any(|line| line.starts_with("service:"));
            let files: &[&Path] = if is_alone { &[&part] } else { &[&frame, &part] };
            check_valid(&what, files);
        }
    };
    registry.receivers().iter().for_each(|factory| check("receivers", &factory.description));
    registry.processors().iter().for_each(|factory| check("processors", &factory.description));
    registry.exporters().iter().for_each(|factory| check("exporters", &factory.description));
    registry.extensions().iter().for_each(|factory| check("extensions", &factory.description));
}

#[test]
fn every_example_is_valid_and_says_what_it_shows() {
    let files = yaml_files("examples");
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.contains("Try it"), "{} does not open with how to try it", file.display());
        check_valid(&file.display().to_string(), &[&file]);
    }
}

#[test]
fn files_written_for_the_collector_are_valid() {
    let files = yaml_files("tests/collector_configs");
    assert!(files.len() >= 6);
    for file in files {
        check_valid(&file.display().to_string(), &[&file]);
    }
}

#[test]
fn the_yaml_in_the_readme_is_valid() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let frame = config_file("frame_readme.yaml", FRAME);
    for (number, block) in yaml_blocks(&readme).iter().enumerate() {
        let part = config_file(&format!("readme_{number}.yaml"), block);
        check_valid(&format!("block {} of README.md", number + 1), &[&frame, &part]);
    }
}
