//! `watershed queue`.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use watershed_pipeline::Signal;
use watershed_pipeline::storage::{self, Inspection, Part, RecordInfo, StorageError};

use super::config_arguments::ConfigArguments;
use super::{Failure, chain, complain, parse_signal, print};
use crate::setup::storage_directories;

/// Looks at the queues on disk, checks them, copies out of them, sends again or throws away.
///
/// `inspect`, `verify` and `export` change nothing and work while the program runs. `replay` and `drop` need the queue
/// for themselves: stop the program that uses it first.
///
/// Example: watershed queue inspect --config deploy.yaml
/// and: watershed queue export --directory /var/lib/watershed --dead-letters > refused.jsonl
///
/// Exit codes: 0 done; 64 wrong arguments, or no such queue; 1 `verify` found damage, a queue is in use, or the disk
/// failed.
#[derive(clap::Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Inspect(Inspect),
    Verify(Verify),
    Export(Export),
    Replay(Replay),
    Drop(Drop),
}

/// Shows what each queue holds: batches, items, bytes, the age of the oldest batch, dead letters.
#[derive(clap::Args)]
struct Inspect {
    #[command(flatten)]
    selection: Selection,
    /// Lists every batch that waits, and every dead letter with the reason.
    #[arg(long)]
    records: bool,
}

/// Reads everything and says where a file is not what was written.
///
/// A process that was killed may leave a torn write at the end of its last segment, which nobody was promised; it is
/// told too, and gone after the next start.
#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    selection: Selection,
}

/// Writes what waits to standard output, as OTLP in JSON, one request a line.
#[derive(clap::Args)]
struct Export {
    #[command(flatten)]
    selection: Selection,
    /// Dead letters instead of what waits.
    #[arg(long)]
    dead_letters: bool,
}

/// Puts dead letters back into their queue, to be sent again at the next start.
#[derive(clap::Args)]
struct Replay {
    #[command(flatten)]
    selection: Selection,
}

/// Throws away what waits, for ever. Dead letters stay.
#[derive(clap::Args)]
struct Drop {
    #[command(flatten)]
    selection: Selection,
    /// Dead letters instead of what waits.
    #[arg(long)]
    dead_letters: bool,
    /// That it is meant. Without it nothing is thrown away.
    #[arg(long)]
    yes: bool,
}

/// Which queues are meant.
#[derive(clap::Args)]
struct Selection {
    #[command(flatten)]
    config: ConfigArguments,
    /// The directory of all queues, instead of the one that a configuration names.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "set"])]
    directory: Option<PathBuf>,
    /// Only the queues of this exporter, such as `otlp_http/backup`.
    #[arg(long, value_name = "ID")]
    exporter: Option<String>,
    /// Only the queues of this signal: logs, traces or metrics.
    #[arg(long, value_parser = parse_signal)]
    signal: Option<Signal>,
}

impl Queue {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Inspect(action) => action.execute(),
            Action::Verify(action) => action.execute(),
            Action::Export(action) => action.execute(),
            Action::Replay(action) => action.execute(),
            Action::Drop(action) => action.execute(),
        }
    }
}

impl Selection {
    /// The queues that are meant, at least one if any is asked for by name.
    fn queues(&self) -> Result<Vec<storage::Queue>, Failure> {
        let directories = match &self.directory {
            Some(directory) => vec![directory.clone()],
            None => storage_directories(&self.config.sources()?)?,
        };
        let mut queues = Vec::new();
        for directory in &directories {
            queues.extend(storage::Queue::find(directory)?);
        }
        let shown: Vec<String> =
            directories.iter().map(|directory| format!("`{}`", directory.display())).collect();
        let shown = shown.join(", ");
        let wanted = |queue: &storage::Queue| {
            self.exporter.as_ref().is_none_or(|exporter| exporter == queue.exporter())
                && self.signal.is_none_or(|signal| signal == queue.signal())
        };
        let all: Vec<String> = queues.iter().map(name).collect();
        queues.retain(wanted);
        if !queues.is_empty() {
            return Ok(queues);
        }
        if all.is_empty() {
            complain(format_args!("there are no queues in {shown}"));
            return Ok(queues);
        }
        Err(Failure::Usage(format!("there is no such queue in {shown}; there are: {}", all.join(", "))))
    }
}

impl Inspect {
    fn execute(&self) -> Result<(), Failure> {
        let now = SystemTime::now();
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        let mut lists = String::new();
        for queue in self.selection.queues()? {
            rows.push(row(&queue, &queue.inspect()?, now));
            if self.records {
                list(&mut lists, &queue, Part::Waiting, now)?;
                list(&mut lists, &queue, Part::DeadLetters, now)?;
            }
        }
        print(table(&rows));
        print(lists);
        Ok(())
    }
}

impl Verify {
    fn execute(&self) -> Result<(), Failure> {
        let mut damaged = 0;
        for queue in self.selection.queues()? {
            let name = name(&queue);
            let damages = queue.verify()?;
            if damages.is_empty() {
                print(format_args!("{name}: sound\n"));
            }
            damaged += damages.len();
            for damage in damages {
                let (path, from, to) = (damage.path.display(), damage.from, damage.to);
                print(format_args!("{name}: damaged: {path}, bytes {from} to {to}\n"));
            }
        }
        if damaged == 0 {
            return Ok(());
        }
        Err(Failure::Other(format!(
            "damage in {damaged} place(s); at the next start what can be read is delivered, and the damaged file is kept \
             in `quarantine`"
        )))
    }
}

impl Export {
    fn execute(&self) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for queue in self.selection.queues()? {
            let exported = queue.export(part(self.dead_letters), &mut out);
            let exported = exported.and_then(|count| {
                let flushed = io::Write::flush(&mut out);
                let path = queue.directory().to_owned();
                flushed.map(|()| count).map_err(|source| StorageError::Io { action: "export", path, source })
            });
            match exported {
                Ok(count) => complain(format_args!("{}: {count} batches", name(&queue))),
                // A reader that has gone away wants no more.
                Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Replay {
    fn execute(&self) -> Result<(), Failure> {
        for queue in self.selection.queues()? {
            let count = queue.replay()?;
            print(format_args!("{}: {count} dead letters wait again\n", name(&queue)));
        }
        Ok(())
    }
}

impl Drop {
    fn execute(&self) -> Result<(), Failure> {
        let queues = self.selection.queues()?;
        if !self.yes {
            let names: Vec<String> = queues.iter().map(name).collect();
            return Err(Failure::Usage(format!(
                "nothing was thrown away; this would empty {}: add `--yes` if that is meant",
                names.join(", ")
            )));
        }
        for queue in queues {
            let count = queue.drop(part(self.dead_letters))?;
            print(format_args!("{}: {count} batches thrown away\n", name(&queue)));
        }
        Ok(())
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Other(chain(&error))
    }
}

fn name(queue: &storage::Queue) -> String {
    format!("{} {}", queue.exporter(), queue.signal())
}

fn part(dead_letters: bool) -> Part {
    if dead_letters { Part::DeadLetters } else { Part::Waiting }
}

const HEADINGS: [&str; 8] =
    ["exporter", "signal", "batches", "items", "bytes", "oldest", "dead letters", "quarantined"];
/// Columns that hold text, which stands at the left.
const TEXT_COLUMNS: usize = 2;

fn row(queue: &storage::Queue, found: &Inspection, now: SystemTime) -> [String; HEADINGS.len()] {
    [
        queue.exporter().to_owned(),
        queue.signal().to_string(),
        found.batches.to_string(),
        found.items.to_string(),
        found.bytes.to_string(),
        found.oldest.map_or_else(|| "-".to_owned(), |time| age(time, now)),
        found.dead_batches.to_string(),
        found.quarantined.to_string(),
    ]
}

/// Rows with each column as wide as its longest text.
fn table(rows: &[[String; HEADINGS.len()]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
            let width = width.unwrap_or_default();
            let padded =
                if column < TEXT_COLUMNS { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") };
            line.push_str(&padded);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn list(text: &mut String, queue: &storage::Queue, part: Part, now: SystemTime) -> Result<(), StorageError> {
    let records = queue.records(part)?;
    if records.is_empty() {
        return Ok(());
    }
    let what = if part == Part::DeadLetters { "dead letters" } else { "waiting" };
    text.push_str(&format!("\n{}, {what}:\n", name(queue)));
    for record in records {
        let RecordInfo { sequence, id, time, items, bytes, reason } = record;
        let age = age(time, now);
        text.push_str(&format!("  {sequence}: {items} items, {bytes} bytes, {age} old, batch {id:032x}"));
        if !reason.is_empty() {
            // The far end wrote this; it must not steer the terminal.
            let safe: String =
                reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            text.push_str(&format!(", refused: {safe}"));
        }
        text.push('\n');
    }
    Ok(())
}

/// How long ago a time in nanoseconds since 1970 was, in the two largest units.
fn age(time: u64, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_nanos(time)).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_two_largest_units() {
        let age = |seconds| age(0, UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!([7, 61, 3_720, 90_000].map(age), ["7s", "1m 1s", "1h 2m", "1d 1h"]);
    }

    #[test]
    fn a_time_in_the_future_is_no_age() {
        assert_eq!(age(u64::MAX, UNIX_EPOCH), "0s");
    }
}
