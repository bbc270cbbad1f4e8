//! Did you mean: the nearest of several names.

/// Finds the candidate that `name` was most likely meant to be.
///
/// Names are near when few letters differ: one for a name of up to four letters, two for up to eight, three for
/// longer ones. Swapped neighbours count as one difference, and case counts for nothing.
pub fn suggest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const LETTERS_MAX: usize = 64;
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).take(LETTERS_MAX + 1).collect();
    if wanted.len() > LETTERS_MAX {
        return None;
    }
    let allowed = match wanted.len() {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let normalized: String = wanted.iter().filter(|letter| letter.is_alphanumeric()).collect();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
            let bare: String = letters.iter().filter(|letter| letter.is_alphanumeric()).collect();
            let distance = if bare == normalized { 0 } else { distance(&wanted, &letters) };
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut left_before = None;
    for (row, &letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut right_before = None;
        for (column, &other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&above, column) + usize::from(letter != other);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            if left_before == Some(other) && right_before == Some(letter) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
            right_before = Some(other);
        }
        left_before = Some(letter);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn the_nearest_name_wins() {
        let names = ["credit_card", "email", "ip_address"];
        for (given, expected) in [
            ("creditcard", Some("credit_card")),
            ("creditCard", Some("credit_card")),
            ("emial", Some("email")),
            ("eMail", Some("email")),
            ("ip_adress", Some("ip_address")),
            ("telephone", None),
            ("", None),
        ] {
            assert_eq!(suggest(given, names), expected, "{given}");
        }
    }
}
