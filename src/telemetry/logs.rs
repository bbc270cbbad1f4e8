//! The log of the process: lines for people or for machines, to the terminal or to files.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use watershed_pipeline::OWN_TRACES;

use super::BoxedLayer;
use super::settings::{Encoding, Level, LogSettings};

/// The environment variable that wins over the level of the configuration.
const OVERRIDE: &str = "WATERSHED_LOG";
/// What speaks too much below `info`, and never about what an operator did.
const LIBRARIES: [&str; 7] = ["hyper", "hyper_util", "h2", "rustls", "reqwest", "tower", "opentelemetry"];

/// Starts the log, and hands spans to the layer for own traces if there is one. A second call in one process has no
/// effect.
///
/// # Errors
/// Says which file cannot be opened, or what is wrong with `WATERSHED_LOG`.
pub(crate) fn start(settings: &LogSettings, spans: Option<BoxedLayer>) -> Result<(), String> {
    let filter = filter(settings, watershed_config::process_environment(OVERRIDE).as_deref())?;
    let outputs = Outputs::open(&settings.output_paths)?;
    let is_colored = outputs.is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(is_colored).with_writer(outputs);
    let lines = match settings.encoding {
        Encoding::Console => lines.with_filter(filter).boxed(),
        Encoding::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // Only tests and programs that have their own subscriber come here twice; theirs stays.
    drop(subscriber(lines, spans).try_init());
    Ok(())
}

/// What takes lines, and spans if they are wanted. A list, because an absent layer in a stack would take everything.
fn subscriber(lines: BoxedLayer, spans: Option<BoxedLayer>) -> impl tracing::Subscriber + Send + Sync {
    let layers: Vec<BoxedLayer> = [lines].into_iter().chain(spans).collect();
    tracing_subscriber::registry().with(layers)
}

/// What is written; never the spans of own traces, so that they cost nothing unless somebody else asks for them.
fn filter(settings: &LogSettings, wanted: Option<&str>) -> Result<EnvFilter, String> {
    let filter = wanted_filter(settings, wanted)?;
    let without = format!("{OWN_TRACES}=off").parse();
    Ok(filter.add_directive(without.map_err(|error| format!("{OWN_TRACES}: {error}"))?))
}

fn wanted_filter(settings: &LogSettings, wanted: Option<&str>) -> Result<EnvFilter, String> {
    if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
        return EnvFilter::try_new(wanted).map_err(|error| {
            format!("{OVERRIDE}: `{wanted}` is not a filter: {error}; write for instance `debug`")
        });
    }
    let level = match settings.level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let quiet = if matches!(settings.level, Level::Error) { "error" } else { "warn" };
    let libraries = LIBRARIES.map(|library| format!(",{library}={quiet}")).concat();
    EnvFilter::try_new(format!("{level}{libraries}")).map_err(|error| error.to_string())
}

/// Where lines go; each line goes to all of them.
#[derive(Clone)]
struct Outputs(Arc<Vec<Output>>);

enum Output {
    Stderr,
    Stdout,
    File(Mutex<File>),
}

impl Outputs {
    fn open(paths: &[String]) -> Result<Self, String> {
        let open = |path: &String| {
            match path.as_str() {
            "stderr" => Ok(Output::Stderr),
            "stdout" => Ok(Output::Stdout),
            _ => OpenOptions::new().create(true).append(true).open(path).map(|file| Output::File(Mutex::new(file))).map_err(
                |error| {
                    format!(
                        "service.telemetry.logs.output_paths: cannot open `{path}`: {error}; name `stderr`, `stdout` \
                         or a file in a folder that exists"
                    )
                },
            ),
        }
        };
        Ok(Self(Arc::new(paths.iter().map(open).collect::<Result<_, _>>()?)))
    }

    fn is_terminal(&self) -> bool {
        self.0.iter().all(|output| match output {
            Output::Stderr => io::stderr().is_terminal(),
            Output::Stdout => io::stdout().is_terminal(),
            Output::File(_) => false,
        })
    }
}

impl Write for Outputs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for output in self.0.iter() {
            // A line that cannot be written to one place still goes to the others.
            drop(match output {
                Output::Stderr => io::stderr().write_all(line),
                Output::Stdout => io::stdout().write_all(line),
                Output::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line),
            });
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Outputs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_configured_level() {
        let settings = LogSettings { level: Level::Debug, ..LogSettings::default() };
        assert!(filter(&settings, None).unwrap().to_string().contains("debug"));
        let overridden = filter(&settings, Some("watershed=trace")).unwrap().to_string();
        assert!(overridden.contains("watershed=trace") && !overridden.contains("debug"), "{overridden}");
        assert!(
            filter(&settings, Some("a=b=c"))
                .unwrap_err()
                .starts_with("WATERSHED_LOG: `a=b=c` is not a filter")
        );
    }

    #[test]
    fn the_log_never_asks_for_own_traces() {
        let settings = LogSettings::default();
        for wanted in ["trace", "watershed=trace", "info,watershed::traces=trace"] {
            let filter = filter(&settings, Some(wanted)).unwrap();
            let lines = tracing_subscriber::fmt::layer().with_writer(io::sink).with_filter(filter);
            tracing::subscriber::with_default(subscriber(lines.boxed(), None), || {
                assert!(tracing::info_span!(target: OWN_TRACES, "own").is_disabled(), "{wanted}");
                assert!(!tracing::info_span!(target: "watershed", "other").is_disabled(), "{wanted}");
            });
        }
    }

    #[test]
    fn lines_go_to_every_output() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| folder.path().join(name).display().to_string());
        Outputs::open(&paths).unwrap().make_writer().write_all(b"line\n").unwrap();
        for path in &paths {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "line\n");
        }
        assert!(Outputs::open(&["/nowhere/log".to_owned()]).is_err());
    }
}
