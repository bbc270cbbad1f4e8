//! Which lines belong together as one entry: by a pattern, or by what stack traces of known languages look like.

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;

/// How lines become entries of several lines. One of the patterns or `presets` is required.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MultilineSettings {
    /// A regular expression; an entry begins with each line in which it matches.
    line_start_pattern: Option<String>,
    /// A regular expression; an entry ends with each line in which it matches.
    line_end_pattern: Option<String>,
    /// Whether what the pattern matches is left out of the entry: the beginning of its first line up to the end of the
    /// match, or the end of its last line from the match on. Default `false`.
    omit_pattern: bool,
    /// Languages whose stack traces are kept with the line before them.
    presets: Vec<Preset>,
}

/// A language whose stack traces are known.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Preset {
    /// Java, Kotlin, Scala: `at …`, `… 12 more`, `Caused by:`, `Suppressed:`.
    Java,
    /// Python: from `Traceback (most recent call last):` to the line of the exception, with chained ones.
    Python,
    /// Go: from `panic:` or `goroutine 1 [running]:` over all frames.
    Go,
    /// .NET: `at …`, `---> …`, `--- End of …`.
    Dotnet,
    /// Ruby: `from …`, and frames that begin with a tab.
    Ruby,
}

/// How lines become entries.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Start(Regex),
    End(Regex),
    Traces(Vec<Preset>),
}

/// The rule, and whether matches are left out.
#[derive(Clone, Debug)]
pub(super) struct Multiline {
    pub(super) rule: Rule,
    pub(super) omit: bool,
}

/// What is known of the entry that is being put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Within {
    trace: Option<Trace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// In the frames of a Python trace; its last line is still to come.
    Python,
    /// Behind a Python trace, where another one may be chained on.
    PythonEnd,
    /// In the dump of Go's goroutines.
    Go,
}

impl MultilineSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn rule(&self) -> Result<Multiline, BuildError> {
        let given = [&self.line_start_pattern, &self.line_end_pattern];
        let count = given.into_iter().flatten().count() + usize::from(!self.presets.is_empty());
        if count != 1 {
            let text = "needs exactly one of `line_start_pattern`, `line_end_pattern` and `presets`";
            return Err(BuildError::at("multiline", text));
        }
        let compile = |field: &str, pattern: &str| {
            let wrong = |error| format!("`{pattern}` is not a regular expression: {error}");
            Regex::new(pattern).map_err(|error| BuildError::at(format!("multiline.{field}"), wrong(error)))
        };
        let rule = match (&self.line_start_pattern, &self.line_end_pattern) {
            (Some(pattern), _) => Rule::Start(compile("line_start_pattern", pattern)?),
            (_, Some(pattern)) => Rule::End(compile("line_end_pattern", pattern)?),
            (None, None) => Rule::Traces(self.presets.clone()),
        };
        if self.omit_pattern && matches!(rule, Rule::Traces(_)) {
            return Err(BuildError::at(
                "multiline.omit_pattern",
                "goes with a pattern; remove it beside `presets`",
            ));
        }
        Ok(Multiline { rule, omit: self.omit_pattern })
    }
}

impl Multiline {
    /// Whether a line looks like the middle of an entry, of which nothing before is known.
    pub(super) fn goes_on(&self, line: &[u8]) -> bool {
        match &self.rule {
            Rule::Start(pattern) => !pattern.is_match(line),
            Rule::End(_) => false,
            Rule::Traces(presets) => Within::default().continues(presets, line),
        }
    }
}

impl Within {
    /// Whether a line goes on with the entry, of which `self` knows the lines before.
    pub(super) fn continues(&mut self, presets: &[Preset], line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        if let Some(goes_on) = self.within_trace(line) {
            return goes_on;
        }
        presets.iter().any(|preset| match preset {
            Preset::Java => is_java(line),
            Preset::Dotnet => is_dotnet(line),
            Preset::Ruby => is_ruby(line),
            Preset::Python if line.starts_with(b"Traceback (most recent call last):") => {
                self.trace = Some(Trace::Python);
                true
            }
            Preset::Go if is_go_start(line) => {
                self.trace = Some(Trace::Go);
                true
            }
            Preset::Python | Preset::Go => false,
        })
    }

    /// Begins an entry with a line.
    pub(super) fn begin(presets: &[Preset], line: &[u8]) -> Self {
        let mut within = Self::default();
        within.continues(presets, line);
        within
    }

    /// Whether a line goes on with a trace that has a beginning; `None` outside of one.
    fn within_trace(&mut self, line: &[u8]) -> Option<bool> {
        match self.trace? {
            Trace::Python if line.is_empty() || is_indented(line) => Some(true),
            Trace::Python => {
                self.trace = Some(Trace::PythonEnd);
                Some(true)
            }
            Trace::PythonEnd if line.is_empty() => Some(true),
            Trace::PythonEnd if line.starts_with(b"Traceback (most recent call last):") => {
                self.trace = Some(Trace::Python);
                Some(true)
            }
            Trace::PythonEnd => {
                let chained: [&[u8]; 2] =
                    [b"During handling of the above exception", b"The above exception was the direct cause"];
                Some(chained.iter().any(|start| line.starts_with(start)))
            }
            Trace::Go => {
                let is_frame = line.ends_with(b")") && line.contains(&b'(') && !line.contains(&b' ');
                let ends: [&[u8]; 4] = [b"created by ", b"exit status ", b"[signal ", b"panic: "];
                let is_known = ends.iter().any(|start| line.starts_with(start)) || is_go_start(line);
                Some(line.is_empty() || is_indented(line) || is_frame || is_known)
            }
        }
    }
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn is_java(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    let is_frame = text.starts_with(b"at ") || (text.starts_with(b"...") && text.ends_with(b"more"));
    text.starts_with(b"Caused by: ") || text.starts_with(b"Suppressed: ") || (is_frame && is_indented(line))
}

fn is_dotnet(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    let starts: [&[u8]; 3] = [b"at ", b"---> ", b"--- End of "];
    is_indented(line) && starts.iter().any(|start| text.starts_with(start))
}

fn is_ruby(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    is_indented(line) && (text.starts_with(b"from ") || (line.starts_with(b"\t") && text.contains(&b':')))
}

fn is_go_start(line: &[u8]) -> bool {
    line.starts_with(b"panic: ")
        || line.starts_with(b"fatal error: ")
        || (line.starts_with(b"goroutine ") && line.ends_with(b":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn entries(preset: Preset, text: &str, expected: &[usize]) {
        let mut counts: Vec<usize> = Vec::new();
        let mut within = Within::default();
        for line in text.lines() {
            match counts.last_mut() {
                Some(count) if within.continues(&[preset], line.as_bytes()) => *count += 1,
                _ => {
                    within = Within::begin(&[preset], line.as_bytes());
                    counts.push(1);
                }
            }
        }
        assert_eq!(counts, expected, "{text}");
    }

    #[test]
    fn traces_of_each_language_stay_with_the_line_before() {
        entries(
            Preset::Java,
            "ERROR failed\njava.lang.X: no\n\tat a.B.c(B.java:1)\n\t... 12 more\nCaused by: y\n\tat a.D\nINFO next",
            &[1, 5, 1],
        );
        entries(
            Preset::Python,
            "ERROR x\nTraceback (most recent call last):\n  File \"a\", line 1\n    f()\nValueError: no\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"b\"\nKeyError: 1\nINFO next",
            &[11, 1],
        );
        entries(
            Preset::Go,
            "serving\npanic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a/b.go:7 +0x1\nexit status 2\nINFO next x",
            &[7, 1],
        );
        entries(
            Preset::Dotnet,
            "Unhandled exception. System.X: no\n ---> System.Y: z\n   at A.B()\n   --- End of inner ---\nINFO",
            &[4, 1],
        );
        entries(Preset::Ruby, "a.rb:1:in `x': no (RuntimeError)\n\tfrom a.rb:2:in `y'\nINFO", &[2, 1]);
    }
}
