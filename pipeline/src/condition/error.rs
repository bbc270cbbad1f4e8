//! What can be wrong with the text of a condition, and where.

/// Characters shown on either side of the mistake by [`ConditionError::excerpt`].
const EXCERPT_SIDE: usize = 50;

/// A mistake in the text of a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {message}", .offset + 1)]
pub struct ConditionError {
    text: String,
    offset: usize,
    message: String,
}

/// A mistake at a byte of the text, before it becomes a [`ConditionError`].
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl ConditionError {
    pub(super) fn new(text: &str, fault: Fault) -> Self {
        let offset = text.char_indices().take_while(|(index, _)| *index < fault.at).count();
        Self { text: text.to_owned(), offset, message: fault.message }
    }

    /// Where the mistake is, in characters, the first one being 1.
    #[must_use]
    pub fn character(&self) -> usize {
        self.offset + 1
    }

    /// What is wrong and what to write instead.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Two lines: the text around the mistake, and a caret under its first character.
    ///
    /// ```
    /// # use watershed_pipeline::{Condition, ConditionContext};
    /// let error = Condition::parse("body = 5", ConditionContext::Log).unwrap_err();
    /// assert_eq!(error.excerpt(), "body = 5\n     ^");
    /// ```
    #[must_use]
    pub fn excerpt(&self) -> String {
        let start = self.offset.saturating_sub(EXCERPT_SIDE);
        let letters = self.text.chars().skip(start).take(2 * EXCERPT_SIDE);
        let mut lines: String =
            letters.map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        lines.push('\n');
        lines.extend(std::iter::repeat_n(' ', self.offset - start));
        lines.push('^');
        lines
    }
}
