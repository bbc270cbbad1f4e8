//! Decisions that are remembered for spans that come late, and for logs; and their form on disk.

use hashlink::LruCache;

use super::policy::{Decision, Fixed, Reason, TraceId};

/// Kept and dropped traces, each with a limit of its own. The one that was asked for longest ago is forgotten first.
pub(super) struct Decisions {
    kept: LruCache<TraceId, Decision>,
    dropped: LruCache<TraceId, Decision>,
}

impl Decisions {
    /// Remembers so many kept and so many dropped traces.
    pub(super) fn new(kept: usize, dropped: usize) -> Self {
        Self { kept: LruCache::new(kept), dropped: LruCache::new(dropped) }
    }

    /// What was decided on a trace.
    pub(super) fn get(&mut self, id: &TraceId) -> Option<Decision> {
        self.kept.get(id).or_else(|| self.dropped.get(id)).copied()
    }

    /// Remembers a decision.
    pub(super) fn insert(&mut self, id: TraceId, decision: Decision) {
        let recent = if decision.keep { &mut self.kept } else { &mut self.dropped };
        if recent.capacity() > 0 {
            recent.insert(id, decision);
        }
    }

    /// All of it as bytes: the names of the reasons, then each trace's decision, the oldest first.
    pub(super) fn encode(&self, reasons: &[Reason]) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_count(&mut out, reasons.len());
        for reason in reasons {
            let texts = [Some(reason.policy.as_str()), reason.part.as_deref()];
            for text in texts {
                put_count(&mut out, text.map_or(0, |text| text.len() + 1));
                out.extend_from_slice(text.unwrap_or_default().as_bytes());
            }
        }
        for (id, decision) in self.kept.iter().chain(self.dropped.iter()) {
            out.extend_from_slice(id);
            out.push(decision.keep.into());
            out.extend_from_slice(&decision.reason.to_le_bytes());
            out.extend_from_slice(&decision.share.to_le_bytes());
        }
        out
    }

    /// Adds decisions from bytes, as far as they can be read and nothing newer is known. A reason that has no policy any
    /// more becomes `earlier_configuration`.
    pub(super) fn merge(&mut self, bytes: &[u8], reasons: &[Reason]) {
        let mut rest = bytes;
        let known = read_reasons(&mut rest, reasons).unwrap_or_default();
        while let Some((id, decision)) = read_entry(&mut rest, &known) {
            if self.get(&id).is_none() {
                self.insert(id, decision);
            }
        }
    }
}

/// The first byte of the form on disk.
const VERSION: u8 = 1;

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or_default().to_le_bytes());
}

fn read<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// For each reason of whoever wrote the bytes, the number that it has here.
fn read_reasons(rest: &mut &[u8], reasons: &[Reason]) -> Option<Vec<u16>> {
    if read::<1>(rest)? != [VERSION] {
        *rest = &[];
        return None;
    }
    let count = u32::from_le_bytes(read(rest)?);
    let mut numbers = Vec::new();
    for _ in 0..count {
        let policy = read_text(rest)?.unwrap_or_default();
        let written = Reason { policy, part: read_text(rest)? };
        let found = reasons.iter().position(|reason| *reason == written);
        let number = found.and_then(|number| u16::try_from(number).ok());
        numbers.push(number.unwrap_or(Fixed::EarlierConfiguration as u16));
    }
    Some(numbers)
}

fn read_text(rest: &mut &[u8]) -> Option<Option<String>> {
    let Some(length) = (u32::from_le_bytes(read(rest)?) as usize).checked_sub(1) else { return Some(None) };
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Some(String::from_utf8_lossy(text).into_owned()))
}

fn read_entry(rest: &mut &[u8], numbers: &[u16]) -> Option<(TraceId, Decision)> {
    let id = read(rest)?;
    let keep = read::<1>(rest)? != [0];
    let written = usize::from(u16::from_le_bytes(read(rest)?));
    let reason = numbers.get(written).copied().unwrap_or(Fixed::EarlierConfiguration as u16);
    let share = f64::from_le_bytes(read(rest)?);
    Some((id, Decision { keep, reason, share }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reasons(names: &[&str]) -> Vec<Reason> {
        let mut all: Vec<_> = Fixed::NAMES.iter().map(|name| (*name, None)).collect();
        all.extend(names.iter().map(|name| (*name, Some("part".to_owned()))));
        all.into_iter().map(|(name, part)| Reason { policy: name.to_owned(), part }).collect()
    }

    fn decision(keep: bool, reason: u16) -> Decision {
        Decision { keep, reason, share: 0.25 }
    }

    #[test]
    fn the_trace_that_was_asked_for_longest_ago_is_forgotten_first() {
        let mut decisions = Decisions::new(2, 0);
        for id in [1, 2] {
            decisions.insert([id; 16], decision(true, 1));
        }
        assert!(decisions.get(&[1; 16]).is_some());
        decisions.insert([3; 16], decision(true, 1));
        decisions.insert([4; 16], decision(false, 1));
        assert_eq!([1, 2, 3, 4].map(|id| decisions.get(&[id; 16]).is_some()), [true, false, true, false]);
    }

    #[test]
    fn decisions_survive_as_bytes_although_policies_have_changed() {
        let mut decisions = Decisions::new(10, 10);
        let before = reasons(&["gone", "stays"]);
        decisions.insert([1; 16], decision(true, 5));
        decisions.insert([2; 16], decision(true, 6));
        decisions.insert([3; 16], decision(false, 0));
        let bytes = decisions.encode(&before);
        let mut restored = Decisions::new(10, 10);
        restored.insert([3; 16], decision(true, 1));
        restored.merge(&bytes, &reasons(&["new", "newer", "stays"]));
        let found = [1, 2, 3].map(|id| restored.get(&[id; 16]).unwrap());
        assert_eq!(found, [decision(true, 3), decision(true, 7), decision(true, 1)]);
    }

    proptest! {
        #[test]
        fn property_bytes_that_were_cut_or_changed_do_no_harm(
            ids in prop::collection::vec(any::<[u8; 16]>(), 0..20), cut in any::<prop::sample::Index>(),
            change in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut decisions = Decisions::new(100, 100);
            ids.iter().for_each(|id| decisions.insert(*id, decision(id[0] % 2 == 0, 5)));
            let mut bytes = decisions.encode(&reasons(&["a"]));
            let position = change.0.index(bytes.len());
            bytes[position] ^= change.1;
            bytes.truncate(cut.index(bytes.len() + 1));
            let mut restored = Decisions::new(100, 100);
            restored.merge(&bytes, &reasons(&["a"]));
            prop_assert!(restored.kept.len() + restored.dropped.len() <= 200);
        }
    }
}
