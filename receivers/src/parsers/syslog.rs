//! Syslog: RFC 5424, RFC 3164, and what rsyslog and syslog-ng write into files, which is either without `<priority>`.
//!
//! A record has the host and the program as `host.name` and `service.name` of its resource and the numbers and ids as
//! attributes `syslog.facility.code`, `syslog.procid`, `syslog.msgid`, `syslog.structured_data`, after the log data model's
//! appendix on syslog.

use watershed_pipeline::parse::{Layout, Zone, severity, time};
use watershed_pipeline::{AnyValue, RecordMut};

use super::keys::Moment;
use super::stats::Failure;

/// The parts of a message. What is not there is empty.
#[derive(Default, Debug, PartialEq)]
pub(super) struct Message<'l> {
    pub(super) priority: Option<u8>,
    /// 1 for RFC 5424; none for RFC 3164.
    pub(super) version: Option<u32>,
    pub(super) time: Option<u64>,
    pub(super) host: &'l str,
    pub(super) app: &'l str,
    pub(super) process: &'l str,
    pub(super) id: &'l str,
    /// Elements and their parameters.
    pub(super) data: Vec<(&'l str, Vec<(&'l str, String)>)>,
    pub(super) text: &'l str,
}

/// Which of the two is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Either,
    Rfc3164,
    Rfc5424,
}

/// Reads a line into a record.
pub(super) fn read(line: &str, moment: Moment<'_>, record: &mut RecordMut<'_>) -> Result<(), Failure> {
    let message = parse(line, Protocol::Either, moment.zone, moment.observed)?;
    record.set_body(message.text);
    if let Some(time) = message.time {
        record.set_time_unix_nano(time);
    }
    if let Some(priority) = message.priority {
        let level = i64::from(priority % 8);
        record.set_severity_number(severity::of_syslog(level).unwrap_or(0));
        record.set_severity_text(severity::syslog_name(level));
        record.set_attribute("syslog.facility.code", i64::from(priority / 8));
    }
    for (key, value) in [("syslog.procid", message.process), ("syslog.msgid", message.id)] {
        if !value.is_empty() {
            record.set_attribute(key, value);
        }
    }
    if !message.data.is_empty() {
        record.set_attribute("syslog.structured_data", message.structured_data());
    }
    let (host, app) = (message.host, message.app);
    if !host.is_empty() || !app.is_empty() {
        record.set_resource(|resource| {
            for (key, value) in [("host.name", host), ("service.name", app)] {
                if !value.is_empty() {
                    resource.set_attribute(key, value);
                }
            }
        });
    }
    Ok(())
}

impl Message<'_> {
    /// Sets the fields of a record that owns what it holds, as far as the message has them.
    pub(super) fn set_time_and_severity(&self, time: &mut u64, number: &mut i32, text: &mut String) {
        *time = self.time.unwrap_or(*time);
        if let Some(priority) = self.priority {
            let level = i64::from(priority % 8);
            *number = severity::of_syslog(level).unwrap_or(0);
            severity::syslog_name(level).clone_into(text);
        }
    }

    pub(super) fn structured_data(&self) -> AnyValue {
        let element = |(id, parameters): &(&str, Vec<(&str, String)>)| {
            let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), value.as_str().into()));
            ((*id).to_owned(), AnyValue::Map(parameters.collect()))
        };
        AnyValue::Map(self.data.iter().map(element).collect())
    }
}

/// The parts of a line. A time without a year is taken to be shortly before the reference.
pub(super) fn parse<'l>(
    line: &'l str,
    protocol: Protocol,
    zone: &Zone,
    reference: u64,
) -> Result<Message<'l>, Failure> {
    let failure = |reason| Failure { format: "syslog", reason };
    let (priority, rest) = priority(line).ok_or(failure("priority"))?;
    let is_rfc5424 = priority.is_some() && rest.starts_with("1 ");
    let message = match protocol {
        Protocol::Rfc5424 => rfc5424(rest, zone).ok_or(failure("no match"))?,
        Protocol::Either if is_rfc5424 => rfc5424(rest, zone).ok_or(failure("no match"))?,
        Protocol::Either | Protocol::Rfc3164 => {
            rfc3164(rest, priority.is_some(), zone, reference).ok_or(failure("no match"))?
        }
    };
    Ok(Message { priority, ..message })
}

/// `<34>` and what follows; no number if there is none, and nothing if it is none.
fn priority(line: &str) -> Option<(Option<u8>, &str)> {
    let Some(rest) = line.strip_prefix('<') else { return Some((None, line)) };
    let (digits, rest) = rest.split_once('>')?;
    let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u8>().ok().filter(|number| is_number && *number <= 191)?;
    Some((Some(number), rest))
}

/// RFC 5424 §6, after the priority.
fn rfc5424<'l>(rest: &'l str, zone: &Zone) -> Option<Message<'l>> {
    let mut words = rest.splitn(7, ' ');
    let version = words.next()?.parse().ok()?;
    let mut word = || words.next().map(|word| if word == "-" { "" } else { word });
    let (at, host, app, process, id) = (word()?, word()?, word()?, word()?, word()?);
    let rest = words.next()?;
    let time = if at.is_empty() { None } else { Some(time::rfc3339(at, zone, 0)?) };
    let (data, text) = match rest.strip_prefix('-') {
        Some(text) => (Vec::new(), text),
        None => structured_data(rest)?,
    };
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Some(Message { version: Some(version), time, host, app, process, id, data, text, priority: None })
}

type Elements<'l> = Vec<(&'l str, Vec<(&'l str, String)>)>;

/// `[id key="value"][…]` and what follows.
fn structured_data(mut rest: &str) -> Option<(Elements<'_>, &str)> {
    let mut elements = Vec::new();
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, mut inner) = element.split_at_checked(end)?;
        let mut parameters = Vec::new();
        while let Some(parameter) = inner.strip_prefix(' ') {
            let (key, quoted) = parameter.split_once("=\"")?;
            let (value, after) = parameter_value(quoted)?;
            parameters.push((key, value));
            inner = after;
        }
        rest = inner.strip_prefix(']')?;
        elements.push((id, parameters));
    }
    (!elements.is_empty()).then_some((elements, rest))
}

/// A value up to its quote; `\"`, `\\` and `\]` are escaped.
fn parameter_value(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => match letters.next()? {
                letter @ ('"' | '\\' | ']') => value.push(letter),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}

/// RFC 3164 §4, after the priority. Without a priority, time, host and program have to be there, as they are what tells
/// such a line from others.
fn rfc3164<'l>(rest: &'l str, has_priority: bool, zone: &Zone, reference: u64) -> Option<Message<'l>> {
    let Some((time, rest)) = header_time(rest, zone, reference) else {
        let text = rest;
        return has_priority.then(|| Message { text, ..Message::default() });
    };
    let (host, rest) = rest.split_once(' ')?;
    let message = Message { time: Some(time), host, ..Message::default() };
    match tag(rest) {
        Some((app, process, text)) => Some(Message { app, process, text, ..message }),
        None => has_priority.then_some(Message { text: rest, ..message }),
    }
}

/// `Jan  2 15:04:05 ` with or without a year, or an RFC 3339 time, and what follows.
fn header_time<'l>(rest: &'l str, zone: &Zone, reference: u64) -> Option<(u64, &'l str)> {
    if rest.starts_with(|letter: char| letter.is_ascii_digit()) {
        let (at, after) = rest.split_once(' ')?;
        let time = at.contains('T').then(|| time::rfc3339(at, zone, reference))?;
        return Some((time?, after));
    }
    let (at, after) = rest.split_at_checked("Jan  2 15:04:05".len())?;
    static LAYOUT: std::sync::LazyLock<Option<Layout>> =
        std::sync::LazyLock::new(|| Layout::strptime("%b %e %H:%M:%S").ok());
    let time = LAYOUT.as_ref()?.parse(at, zone, reference)?;
    Some((time, after.strip_prefix(' ')?))
}

/// `program[pid]: ` or `program: `, and the text.
fn tag(rest: &str) -> Option<(&str, &str, &str)> {
    let end = rest.find([':', '[', ' '])?;
    let (app, after) = rest.split_at_checked(end)?;
    let (process, after) = match after.strip_prefix('[') {
        Some(process) => process.split_once(']')?,
        None => ("", after),
    };
    let text = after.strip_prefix(':')?;
    let is_name = !app.is_empty() && app.len() <= 64;
    is_name.then(|| (app, process, text.strip_prefix(' ').unwrap_or(text)))
}
