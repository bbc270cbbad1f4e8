//! What an answer of ClickHouse means to the engine, by the number of its exception.
//!
//! Numbers are those of `src/Common/ErrorCodes.cpp`. One that is not listed is tried again: nothing is given up because
//! a newer server has a new word for being busy.

use std::time::Duration;

use http::StatusCode;
use watershed_pipeline::ExportError;

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reaction: Reaction,
    /// What happened, with ClickHouse's own words.
    pub(super) reason: String,
    /// The number of ClickHouse's exception.
    pub(super) code: Option<u32>,
    /// The wait that a proxy asked for.
    pub(super) after: Option<Duration>,
}

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Another server may take it at once; the same one later.
    Elsewhere,
    /// Time.
    Wait,
    /// A smaller batch.
    Split,
    /// Leaving out the records at fault; they are found by halving.
    Record,
    /// A new look at the table: it is not as it was.
    Look,
    /// A person, who has to change settings or rights.
    Person,
}

/// How much of ClickHouse's words is repeated, in characters.
const QUOTED_MAX: usize = 400;

impl Failure {
    /// No answer at all.
    pub(super) fn unreachable(reason: String) -> Self {
        Self { reaction: Reaction::Elsewhere, reason, code: None, after: None }
    }

    /// Something that only a change of settings or tables mends.
    pub(super) fn person(reason: String) -> Self {
        Self { reaction: Reaction::Person, reason, code: None, after: None }
    }

    /// An exception of ClickHouse as text, wherever it came from.
    pub(super) fn exception(text: &str, code_of_header: Option<u32>) -> Self {
        let code = code_of_header.or_else(|| code_in(text));
        let reaction = code.map_or(Reaction::Wait, |code| reaction(code, text));
        let advice = code.and_then(advice).map(|advice| format!("; {advice}")).unwrap_or_default();
        Self { reaction, reason: format!("ClickHouse says: {}{advice}", quotable(text)), code, after: None }
    }

    /// An answer that is not ClickHouse's: something stands between.
    pub(super) fn stranger(status: StatusCode, text: &str, after: Option<Duration>) -> Self {
        let (reaction, advice) = match status.as_u16() {
            413 => (Reaction::Split, ""),
            401 | 403 | 407 => (Reaction::Person, "; check username, password and headers"),
            404 | 405 => {
                (Reaction::Elsewhere, "; is this the address of ClickHouse's HTTP interface (http_port)?")
            }
            _ => (Reaction::Elsewhere, ""),
        };
        let words = quotable(text);
        let words = if words.is_empty() { words } else { format!(": {words}") };
        Self { reaction, reason: format!("the server answered {status}{words}{advice}"), code: None, after }
    }

    /// What the engine is to do with a batch of which `items` were to be inserted.
    pub(super) fn into_error(self, items: usize) -> ExportError {
        let Self { reaction, reason, after, .. } = self;
        match reaction {
            Reaction::Elsewhere | Reaction::Wait | Reaction::Look => ExportError::Retry { reason, after },
            Reaction::Split | Reaction::Record if items > 1 => ExportError::TooLarge { reason },
            Reaction::Split | Reaction::Record => ExportError::Reject { count: items, reason },
            Reaction::Person => ExportError::Fatal { reason },
        }
    }
}

fn reaction(code: u32, text: &str) -> Reaction {
    match code {
        // TOO_MANY_PARTS has two meanings: the table is behind with its merges, or one insert spans too many days.
        252 if text.contains("partitions for single INSERT") => Reaction::Split,
        // TOO_LARGE_ARRAY_SIZE, TOO_MANY_ROWS, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES.
        128 | 158 | 307 | 396 => Reaction::Split,
        // Values that cannot be parsed or converted, broken constraints, unknown elements of an Enum.
        6 | 25 | 26 | 27 | 33 | 38 | 41 | 69 | 70 | 72 | 117 | 131 | 190 | 349 | 441 | 467 | 469 | 675
        | 676 | 691 => Reaction::Record,
        // Columns and tables that are not as they were described: 8, 10, 16, 44, 47, 53, 60.
        8 | 10 | 16 | 44 | 47 | 53 | 60 => Reaction::Look,
        // UNKNOWN_DATABASE, UNKNOWN_SETTING, READONLY, sign-in, QUERY_IS_PROHIBITED, SETTING_CONSTRAINT_VIOLATION,
        // ACCESS_DENIED, AUTHENTICATION_FAILED.
        81 | 115 | 164 | 192..=195 | 291 | 392 | 452 | 497 | 516 => Reaction::Person,
        // Of this server alone: NETWORK_ERROR, NO_ZOOKEEPER, ABORTED, TABLE_IS_READ_ONLY, NOT_ENOUGH_SPACE,
        // SERVER_OVERLOADED, TABLE_IS_PERMANENTLY_READ_ONLY, KEEPER_EXCEPTION.
        210 | 225 | 236 | 242 | 243 | 745 | 774 | 999 => Reaction::Elsewhere,
        _ => Reaction::Wait,
    }
}

/// What a person can do.
fn advice(code: u32) -> Option<&'static str> {
    Some(match code {
        192..=195 | 516 => "check username and password",
        81 => "create the database, or name another with `database`",
        60 => "create the table, or set `create_schema: true`",
        774 => "run ALTER TABLE … MODIFY SETTING table_readonly = 0 to let it take data again",
        497 | 291 => "give the user the right that is named here",
        115 => "remove the setting from endpoint or connection_params",
        164 | 452 => {
            "allow the user to change settings, or remove the setting from endpoint or connection_params"
        }
        _ => return None,
    })
}

/// The number in `Code: 60. DB::Exception: …`, wherever in the text it stands.
fn code_in(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Words of a server, short and on one line.
fn quotable(text: &str) -> String {
    // An exception in the middle of an answer stands behind whatever was sent before.
    let text = text.find("Code: ").and_then(|start| text.get(start..)).unwrap_or(text);
    let letters = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(QUOTED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Reaction) {
        assert_eq!(Failure::exception(text, None).reaction, expected, "{text}");
    }

    #[test]
    fn exceptions_are_sorted_by_their_number() {
        check("Code: 241. DB::Exception: Memory limit (total) exceeded", Reaction::Wait);
        check("Code: 159. DB::Exception: Timeout exceeded", Reaction::Wait);
        check("Code: 202. DB::Exception: Too many simultaneous queries", Reaction::Wait);
        check("Code: 252. DB::Exception: Too many parts (3000)", Reaction::Wait);
        check("Code: 252. DB::Exception: Too many partitions for single INSERT block", Reaction::Split);
        check("Code: 319. DB::Exception: Unknown status, client must retry", Reaction::Wait);
        check("Code: 242. DB::Exception: Table is in readonly mode", Reaction::Elsewhere);
        check("Code: 469. DB::Exception: Constraint violated", Reaction::Record);
        check("Code: 16. DB::Exception: No such column", Reaction::Look);
        check("Code: 99999. DB::Exception: from the future", Reaction::Wait);
        check("no number at all", Reaction::Wait);
    }

    #[test]
    fn what_a_person_must_mend_says_what_to_do() {
        for (code, advice) in [
            (516, "check username and password"),
            (81, "create the database, or name another with `database`"),
            (497, "give the user the right that is named here"),
        ] {
            let failure = Failure::exception(&format!("Code: {code}. DB::Exception: words"), None);
            assert_eq!(failure.reaction, Reaction::Person);
            assert!(failure.reason.ends_with(advice), "{}", failure.reason);
        }
    }

    #[test]
    fn an_exception_behind_other_bytes_is_found() {
        let failure =
            Failure::exception("\u{1}\u{2}rows__exception__\r\nCode: 241. DB::Exception: x\n", None);
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (Some(241), "ClickHouse says: Code: 241. DB::Exception: x")
        );
    }

    #[test]
    fn bad_records_are_found_by_halving() {
        let failure = Failure::exception("Code: 469. DB::Exception: x", None);
        assert!(matches!(failure.clone().into_error(2), ExportError::TooLarge { .. }));
        assert!(matches!(failure.into_error(1), ExportError::Reject { count: 1, .. }));
    }

    #[test]
    fn answers_of_strangers_are_sorted_by_their_status() {
        let reaction =
            |status| Failure::stranger(StatusCode::from_u16(status).unwrap(), "<html>", None).reaction;
        assert_eq!(
            [502, 413, 403, 404, 429].map(reaction),
            [
                Reaction::Elsewhere,
                Reaction::Split,
                Reaction::Person,
                Reaction::Elsewhere,
                Reaction::Elsewhere
            ]
        );
    }
}
