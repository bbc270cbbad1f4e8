//! Inserts whose outcome nobody knows, and how they are made good after a crash of ClickHouse.
//!
//! A table that is not replicated writes the token of an insert into its log before it gives the finished part its name
//! (`MergeTreeSink::finishDelayedChunk`). Killed in between, the server knows the token and has no rows: the insert that
//! is sent again is taken for a repetition, answered with success, and lost. Replicated tables commit both at once.
//!
//! So an insert that is answered with success after an attempt without an answer is looked at once more if the server
//! has started since that attempt: one statement sends the rows along and stores those of them that the table lacks. It
//! runs only after the success, because then no earlier attempt can be under way any more: the token keeps it out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::layout::Described;
use super::tables::{Naming, Table, quoted};

/// Inserts without an answer that are remembered; the oldest are forgotten first.
const DOUBTS_MAX: usize = 4096;

/// Letters of what ends the rows in a request. It is drawn by lot, so that no sender can put it into a row.
const BOUNDARY_LENGTH: usize = 32;

/// An insert of which an attempt had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// When the first such attempt began; a server that has been up for longer has not crashed since.
    since: Instant,
    /// A later attempt was answered with success: only the crash is to be ruled out.
    pub(super) is_answered: bool,
    /// The rows have to be compared, and the number by which that is told from other comparisons.
    pub(super) owed: Option<u64>,
}

/// All inserts without an answer.
#[derive(Default)]
pub(super) struct Doubts(Mutex<VecDeque<(String, Table, Doubt)>>);

impl Doubt {
    fn new() -> Self {
        Self { since: Instant::now(), is_answered: false, owed: None }
    }

    /// A doubt about an attempt that another process may have made.
    pub(super) fn inherited() -> Self {
        Self { owed: Some(fastrand::u64(..)), ..Self::new() }
    }

    /// Takes note of how long the server has been up.
    pub(super) fn learn(&mut self, uptime: Duration) {
        // The server counts whole seconds and rounds down.
        if uptime <= self.since.elapsed() {
            *self = Self::inherited();
        }
    }
}

impl Doubts {
    /// An attempt begins; gives the doubt about earlier ones. Until it is settled, there is a doubt about this one.
    pub(super) fn begin(&self, token: &str, table: Table, inherited: bool) -> Option<Doubt> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., doubt)) = all.iter().find(|(other, of, _)| other == token && *of == table) {
            return Some(*doubt);
        }
        let earlier = inherited.then(Doubt::inherited);
        if all.len() >= DOUBTS_MAX {
            all.pop_front();
        }
        all.push_back((token.to_owned(), table, earlier.unwrap_or_else(Doubt::new)));
        earlier
    }

    /// Takes note of what was learnt.
    pub(super) fn update(&self, token: &str, table: Table, doubt: Doubt) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., place)) = all.iter_mut().find(|(other, of, _)| other == token && *of == table) {
            *place = doubt;
        }
    }

    /// The insert has an answer.
    pub(super) fn settle(&self, token: &str, table: Table) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, of, _)| other != token || *of != table);
    }
}

/// How the rows of an insert are compared with those of its table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The statement that stores what is missing.
    pub(super) statement: String,
    /// Names and types of the columns that are sent along.
    pub(super) structure: String,
}

impl Comparison {
    /// The comparison for a table with these columns; none for an engine that needs none or cannot be asked.
    pub(super) fn new(naming: &Naming, table: Table, engine: &str, columns: &[&Described]) -> Option<Self> {
        let is_replicated = ["Replicated", "Shared"].iter().any(|prefix| engine.starts_with(prefix));
        if is_replicated || !engine.ends_with("MergeTree") {
            return None;
        }
        let name = naming.quoted(table);
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        // JSON has no hash; the other columns tell rows apart.
        let hashed = columns.iter().filter(|column| !column.type_name.contains("JSON"));
        let hashed: Vec<String> = hashed.map(|column| quoted(&column.name)).collect();
        let (names, hash) = (names.join(", "), format!("cityHash64({})", hashed.join(", ")));
        let time = naming.column(table, table.time());
        let time = time.and_then(|time| columns.iter().find(|column| column.name == time));
        let range = time.map_or_else(String::new, |time| {
            let time = quoted(&time.name);
            format!("{time} BETWEEN (SELECT min({time}) FROM batch) AND (SELECT max({time}) FROM batch) AND ")
        });
        let statement = format!(
            "INSERT INTO {name} ({names}) SELECT {names} FROM batch WHERE {hash} NOT IN \
             (SELECT {hash} FROM {name} WHERE {range}{hash} IN (SELECT {hash} FROM batch))"
        );
        let typed = columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.type_name));
        Some(Self { statement, structure: typed.collect::<Vec<_>>().join(", ") })
    }
}

/// Rows in Native format as a file of a form, which is how a statement takes rows along; also the form's content type.
pub(super) fn form(rows: &[u8]) -> (Bytes, String) {
    let boundary: String = std::iter::repeat_with(fastrand::alphanumeric).take(BOUNDARY_LENGTH).collect();
    let mut form = BytesMut::with_capacity(rows.len() + 256);
    form.extend_from_slice(
        format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"batch\"; filename=\"batch\"\r\n\
             content-type: application/octet-stream\r\n\r\n"
        )
        .as_bytes(),
    );
    form.extend_from_slice(rows);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (form.freeze(), format!("multipart/form-data; boundary={boundary}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_without_an_answer_is_doubted_until_it_is_settled() {
        let doubts = Doubts::default();
        assert_eq!(doubts.begin("a", Table::Logs, false), None);
        assert_eq!(doubts.begin("a", Table::Traces, false), None);
        let doubt = doubts.begin("a", Table::Logs, false).unwrap();
        assert_eq!(doubt.owed, None);
        doubts.settle("a", Table::Logs);
        assert_eq!(doubts.begin("a", Table::Logs, false), None);
        assert!(doubts.begin("a", Table::Traces, false).is_some());
        assert!(doubts.begin("b", Table::Logs, true).unwrap().owed.is_some());
    }

    #[test]
    fn only_a_server_that_started_after_the_attempt_is_mistrusted() {
        let mut doubt = Doubt::new();
        doubt.learn(Duration::from_secs(60));
        assert_eq!(doubt.owed, None);
        doubt.learn(Duration::ZERO);
        assert!(doubt.owed.is_some());
    }

    #[test]
    fn what_is_forgotten_is_the_oldest() {
        let doubts = Doubts::default();
        for number in 0..=DOUBTS_MAX {
            assert_eq!(doubts.begin(&number.to_string(), Table::Logs, false), None);
        }
        assert!(doubts.begin("1", Table::Logs, false).is_some());
        assert_eq!(doubts.begin("0", Table::Logs, false), None);
    }
}
