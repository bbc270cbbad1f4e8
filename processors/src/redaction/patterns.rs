//! Regular expressions of the user's, as many as there are for about the price of one.
//!
//! Most expressions demand some literal text. All of these texts are searched at once, and an expression is only run over a
//! text that has one of its own. Expressions that demand none are asked together, as one automaton. Both take linear time;
//! the `regex` crate has no backtracking.

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};
use watershed_config::BuildError;

use super::rules::{Hit, HitKind};

/// How many expressions there may be.
const PATTERNS_MAX: usize = 1_000;
/// How large each may be when compiled, in bytes; the set of those without a literal may have ten times as much.
const SIZE_MAX: usize = 1 << 20;
/// A literal shorter than this would be found nearly everywhere.
const LITERAL_MIN: usize = 3;
/// Alternatives of literals that an expression may begin or end with.
const LITERALS_MAX: usize = 64;

/// Compiled expressions, each with its rule.
#[derive(Default)]
pub(super) struct Patterns {
    patterns: Vec<(Regex, u16)>,
    literals: Option<Literals>,
    others: Option<(RegexSet, Vec<usize>)>,
}

/// The texts of which an expression demands one.
struct Literals {
    /// Answers whether there is any at all, fast.
    any: AhoCorasick,
    /// Finds all of them.
    all: AhoCorasick,
    /// The expression that each belongs to.
    owners: Vec<usize>,
}

impl Patterns {
    /// Compiles expressions; each comes with its place in the settings and its rule.
    pub(super) fn compile(sources: &[(String, &str, u16)]) -> Result<Self, BuildError> {
        if sources.len() > PATTERNS_MAX {
            let told = format!("has {} expressions; at most {PATTERNS_MAX} are allowed", sources.len());
            return Err(BuildError::at("rules", told));
        }
        let mut found = Self::default();
        let (mut literals, mut owners, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (path, source, rule)) in sources.iter().enumerate() {
            let regex = regex(path, source)?;
            if regex.is_match("") {
                let told = format!("`{source}` matches the empty text; demand at least one character");
                return Err(BuildError::at(path, told));
            }
            found.patterns.push((regex, *rule));
            let own = regex_syntax::parse(source).ok().and_then(|hir| required(&hir));
            match own {
                Some(own) => {
                    owners.extend(std::iter::repeat_n(index, own.len()));
                    literals.extend(own);
                }
                None => others.push(index),
            }
        }
        found.literals = Literals::build(&literals, owners);
        if !others.is_empty() {
            let texts = others.iter().filter_map(|index| sources.get(*index)).map(|(_, source, _)| source);
            let set = RegexSetBuilder::new(texts).size_limit(10 * SIZE_MAX).build();
            let told = |_| BuildError::at("rules", "the expressions are too large together; simplify them");
            found.others = Some((set.map_err(told)?, others));
        }
        Ok(found)
    }

    /// Adds what matches in a text.
    #[inline]
    pub(super) fn find(&self, text: &[u8], hits: &mut Vec<Hit>) {
        if let Some(literals) = &self.literals
            && literals.any.is_match(text)
        {
            self.find_by_literals(literals, text, hits);
        }
        if let Some((set, indices)) = &self.others
            && let Ok(text) = std::str::from_utf8(text)
            && set.is_match(text)
        {
            let matches = set.matches(text);
            for index in matches.iter().filter_map(|index| indices.get(index)) {
                self.run(*index, text, hits);
            }
        }
    }

    #[cold]
    fn find_by_literals(&self, literals: &Literals, text: &[u8], hits: &mut Vec<Hit>) {
        let Ok(text) = std::str::from_utf8(text) else { return };
        let mut seen = vec![false; self.patterns.len()];
        for found in literals.all.find_overlapping_iter(text) {
            let Some(owner) = literals.owners.get(found.pattern().as_usize()) else { continue };
            let Some(seen) = seen.get_mut(*owner) else { continue };
            if !std::mem::replace(seen, true) {
                self.run(*owner, text, hits);
            }
        }
    }

    fn run(&self, index: usize, text: &str, hits: &mut Vec<Hit>) {
        let Some((regex, rule)) = self.patterns.get(index) else { return };
        let found = regex.find_iter(text).filter(|found| !found.is_empty());
        hits.extend(found.map(|found| Hit { range: found.range(), rule: *rule, kind: HitKind::Value }));
    }
}

impl Literals {
    fn build(literals: &[Vec<u8>], owners: Vec<usize>) -> Option<Self> {
        if literals.is_empty() {
            return None;
        }
        let any = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).ok()?;
        let all = AhoCorasick::new(literals).ok()?;
        Some(Self { any, all, owners })
    }
}

/// Compiles one expression, or says what is wrong with it.
pub(super) fn regex(path: &str, source: &str) -> Result<Regex, BuildError> {
    RegexBuilder::new(source).size_limit(SIZE_MAX).build().map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(limit) => format!("takes more than {limit} bytes when compiled"),
            regex::Error::Syntax(text) => {
                let last = text.lines().last().unwrap_or_default();
                format!("is not a regular expression: {}", last.trim_start_matches("error: "))
            }
            _ => "is not a regular expression".to_owned(),
        };
        BuildError::at(path, format!("`{source}` {reason}"))
    })
}

/// Texts of which every match has one; none if there are no such texts, or they are too short to be worth a search.
fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let extract = |kind| {
        let mut extractor = Extractor::new();
        extractor.kind(kind).limit_total(LITERALS_MAX);
        useful(&extractor.extract(hir))
    };
    let inner = match hir.kind() {
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|literals| shortest(literals)),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        _ => None,
    };
    let candidates = [extract(ExtractKind::Prefix), extract(ExtractKind::Suffix), inner];
    candidates.into_iter().flatten().max_by_key(|literals| shortest(literals))
}

fn useful(sequence: &Seq) -> Option<Vec<Vec<u8>>> {
    let literals = sequence.literals()?;
    let texts: Vec<_> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    (shortest(&texts) >= LITERAL_MIN).then_some(texts)
}

fn shortest(literals: &[Vec<u8>]) -> usize {
    literals.iter().map(Vec::len).min().unwrap_or_default()
}
