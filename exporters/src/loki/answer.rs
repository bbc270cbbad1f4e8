//! What Loki's answers mean.
//!
//! Source: `pkg/distributor/http.go`, `pkg/distributor/distributor.go`, `pkg/ingester/stream.go` and
//! `pkg/util/errors.go` of Loki 3.7. The words are no contract; where they are not understood, a refusal counts for the
//! whole request.

use std::time::Duration;

use super::reason::Reason;

/// What one request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Loki has taken everything.
    Stored,
    /// Loki will never take `count` of the records; it has the others.
    Refused {
        /// Refused records.
        count: usize,
        /// Why.
        reason: Reason,
        /// Loki's words.
        words: String,
    },
    /// Smaller requests may do.
    Split {
        /// Loki's words.
        words: String,
    },
    /// The same request may do later.
    Later {
        /// Loki's words.
        words: String,
        /// The wait that the server asked for.
        after: Option<Duration>,
        /// Whether it is about this tenant, so that others need not wait.
        is_of_tenant: bool,
    },
    /// No request can do: address, password or tenant are wrong.
    Misconfigured {
        /// What is wrong, and what to do.
        words: String,
    },
}

/// Reads an answer to a request with so many records.
pub(super) fn verdict(code: u16, body: &str, after: Option<Duration>, records: usize) -> Verdict {
    let words = words(code, body);
    let refused = |count, reason, words| Verdict::Refused { count, reason, words };
    match code {
        // The operator has blocked the tenant; a 2xx all the same.
        260 => refused(records, Reason::Blocked, words),
        200..=299 => Verdict::Stored,
        300..=399 => misconfigured(&words, "write the address that it leads to as endpoint"),
        400 if body.contains("request body too large") => Verdict::Split { words },
        400 => refused(ignored(body, records), Reason::Refused, words),
        401 if body.contains("no org id") => refused(records, Reason::NoTenant, words),
        401 => misconfigured(&words, "check username and password or bearer_token"),
        403 => misconfigured(&words, "check the user's rights and the tenant"),
        404 | 405 => misconfigured(&words, "check the endpoint, and whether the server knows the protocol"),
        413 => Verdict::Split { words },
        429 if exceeds_burst(body) && records > 1 => Verdict::Split { words },
        408 | 429 => Verdict::Later { words, after, is_of_tenant: code == 429 },
        // The limit between Loki's own parts; the same bytes would fail for ever.
        500.. if body.contains("larger than max") => Verdict::Split { words },
        500.. => Verdict::Later { words, after, is_of_tenant: false },
        _ => refused(records, Reason::Refused, words),
    }
}

fn misconfigured(words: &str, advice: &str) -> Verdict {
    Verdict::Misconfigured { words: format!("{words}; {advice}") }
}

/// The answer on one line, not too long.
fn words(code: u16, body: &str) -> String {
    const LENGTH_MAX: usize = 300;
    let shown = body.trim().chars().take(LENGTH_MAX);
    let shown: String = shown.map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if shown.is_empty() { format!("Loki answered {code}") } else { format!("Loki answered {code}: {shown}") }
}

/// How many records a 400 is about: `total ignored: 3 out of 7` from each stream's ingester, `3 errors like: …` from the
/// distributor, one for a single complaint about an entry, else all.
fn ignored(body: &str, records: usize) -> usize {
    let by_stream: usize = numbers(body, "total ignored: ", " out of ").sum();
    let alike: usize =
        body.match_indices(" errors like: ").filter_map(|(end, _)| number_before(body, end)).sum();
    let is_entry = ["entry for stream '", "Max entry size '"].iter().any(|start| body.contains(start))
        || (body.contains("stream '") && body.contains("structured metadata"));
    let count = match by_stream + alike {
        0 if is_entry => 1,
        0 => records,
        count => count,
    };
    count.min(records)
}

/// The numbers between two texts.
fn numbers<'b>(body: &'b str, before: &'b str, after: &'b str) -> impl Iterator<Item = usize> + 'b {
    body.split(before).skip(1).filter_map(move |rest| rest.split_once(after)?.0.parse().ok())
}

fn number_before(body: &str, end: usize) -> Option<usize> {
    let before = body.get(..end)?;
    let start = before.rfind(|letter: char| !letter.is_ascii_digit()).map_or(0, |place| place + 1);
    before.get(start..)?.parse().ok()
}

/// Whether a request of this size cannot pass however long one waits: it has more bytes than the tenant may send in a
/// second, and a burst may be as small as that.
fn exceeds_burst(body: &str) -> bool {
    let limit = numbers(body, "(limit: ", " bytes/sec)").next();
    let size = numbers(body, "totaling '", "' bytes").next();
    limit.zip(size).is_some_and(|(limit, size)| size > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, body: &str, expected: &str) {
        let verdict = match verdict(code, body, Some(Duration::from_secs(7)), 10) {
            Verdict::Stored => "stored".to_owned(),
            Verdict::Refused { count, reason, .. } => format!("refused {count} {reason:?}"),
            Verdict::Split { .. } => "split".to_owned(),
            Verdict::Later { after, .. } => format!("later {after:?}"),
            Verdict::Misconfigured { .. } => "misconfigured".to_owned(),
        };
        assert_eq!(verdict, expected, "{code} {body}");
    }

    #[test]
    fn codes_mean_what_lokis_source_says() {
        check(204, "", "stored");
        check(200, "", "stored");
        check(260, "ingestion blocked for user a until '…' with status code '260'", "refused 10 Blocked");
        check(308, "", "misconfigured");
        check(401, "no org id", "refused 10 NoTenant");
        check(401, "", "misconfigured");
        check(404, "404 page not found", "misconfigured");
        check(413, "", "split");
        check(422, "error at least one valid stream is required for ingestion", "refused 10 Refused");
        check(429, "Ingestion rate limit exceeded", "later Some(7s)");
        check(500, "at least 1 live replicas required", "later Some(7s)");
        check(500, "rpc error: grpc: received message larger than max (5 vs. 4)", "split");
        check(503, "", "later Some(7s)");
    }

    #[test]
    fn a_400_counts_what_it_names() {
        check(400, "error parsing labels: 1:3: parse error", "refused 10 Refused");
        check(
            400,
            "entry with timestamp 2026 ignored, reason: 'entry too far behind',\nuser 'a', total ignored: 2 out of 4 for stream: {a=\"b\"}\nuser 'a', total ignored: 1 out of 2 for stream: {a=\"c\"}",
            "refused 3 Refused",
        );
        check(
            400,
            "3 errors like: entry for stream '{}' has timestamp too old; 1 errors like: x",
            "refused 4 Refused",
        );
        check(400, "entry for stream '{a=\"b\"}' has timestamp too new: 2027", "refused 1 Refused");
        check(400, "total ignored: 99 out of 99 for stream", "refused 10 Refused");
        check(400, "request body too large: 5 bytes, limit: 4 bytes", "split");
    }

    #[test]
    fn a_burst_that_can_never_pass_is_split() {
        let body = |size: u32| {
            format!(
                "Ingestion rate limit exceeded for user a (limit: 1000 bytes/sec) while attempting to ingest '9' lines totaling '{size}' bytes, reduce log volume"
            )
        };
        check(429, &body(1001), "split");
        check(429, &body(1000), "later Some(7s)");
    }
}
