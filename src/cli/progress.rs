//! How far a run has come that reads files to their end: one line that moves on a terminal, and one line at the end.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use watershed_pipeline::{Progress, UntilEof};

/// How often the line moves.
const INTERVAL: Duration = Duration::from_millis(250);
const WIDTH: usize = 24;

/// The line on standard error.
pub(super) struct ProgressBar {
    until_eof: Arc<UntilEof>,
    start: Instant,
    moving: Option<JoinHandle<()>>,
}

impl ProgressBar {
    /// Begins; the line moves if somebody looks at a terminal.
    pub(super) fn start(until_eof: Arc<UntilEof>, start: Instant) -> Self {
        let shared = Arc::clone(&until_eof);
        let moving = std::io::stderr().is_terminal().then(|| {
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                loop {
                    ticks.tick().await;
                    // Back to the beginning of the line, and what stood there is cleared.
                    write(format_args!("\r\x1b[2K{}", line(shared.progress(), start.elapsed())));
                }
            })
        });
        Self { until_eof, start, moving }
    }

    /// Ends with a line that stays.
    pub(super) fn finish(self) {
        if let Some(moving) = &self.moving {
            moving.abort();
            write(format_args!("\r\x1b[2K"));
        }
        let (progress, elapsed) = (self.until_eof.progress(), self.start.elapsed());
        let Progress { read, lines, .. } = progress;
        let rate = size(rate(read, elapsed));
        write(format_args!("read {} in {lines} lines, {} ({rate}/s)\n", size(read as f64), time(elapsed)));
    }
}

/// The line that moves: how much of it is done, bytes, lines, rate, and how long it will take.
fn line(progress: Progress, elapsed: Duration) -> String {
    let Progress { expected, read, lines } = progress;
    let share = if expected == 0 { 0.0 } else { read as f64 / expected as f64 };
    let done = ((share * WIDTH as f64) as usize).min(WIDTH);
    let bar = format!("{}{}", "#".repeat(done), "-".repeat(WIDTH - done));
    let rate = rate(read, elapsed);
    let left = if rate > 0.0 { (expected - read) as f64 / rate } else { f64::INFINITY };
    let left = Duration::try_from_secs_f64(left).map_or_else(|_| "?".to_owned(), time);
    let (read, expected) = (size(read as f64), size(expected as f64));
    format!("[{bar}] {read} of {expected}, {lines} lines, {}/s, {left} left", size(rate))
}

fn rate(bytes: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { bytes as f64 / elapsed.as_secs_f64() }
}

fn size(bytes: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.into_iter().find(|(_, factor)| bytes >= *factor);
    unit.map_or_else(|| format!("{bytes:.0} B"), |(unit, factor)| format!("{:.1} {unit}", bytes / factor))
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A reader that has gone away wants no more.
fn write(text: std::fmt::Arguments<'_>) {
    let mut stderr = std::io::stderr().lock();
    drop(stderr.write_fmt(text).and_then(|()| stderr.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_much_is_done_and_how_long_the_rest_takes() {
        let progress = Progress { expected: 4_000_000_000, read: 1_000_000_000, lines: 10 };
        assert_eq!(
            line(progress, Duration::from_secs(30)),
            "[######------------------] 1.0 GB of 4.0 GB, 10 lines, 33.3 MB/s, 1 min 30 s left"
        );
        let none = line(Progress::default(), Duration::ZERO);
        assert_eq!(none, "[------------------------] 0 B of 0 B, 0 lines, 0 B/s, ? left");
    }
}
