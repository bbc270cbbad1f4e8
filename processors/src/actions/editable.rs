//! What actions are applied to.

use watershed_pipeline::{Attributes, AttributesMut, IntoValue, RecordMut};

/// What actions are applied to: the attributes of a record, a resource or a scope.
pub(crate) trait Editable {
    fn view(&self) -> Attributes<'_>;
    fn set(&mut self, key: &str, value: impl IntoValue);
    fn remove(&mut self, key: &str);
    fn retain(&mut self, keep: impl Fn(&str) -> bool);
}

macro_rules! editable {
    ($type:ident, $attributes:ident) => {
        impl Editable for $type<'_> {
            fn view(&self) -> Attributes<'_> {
                self.$attributes()
            }

            fn set(&mut self, key: &str, value: impl IntoValue) {
                self.set_attribute(key, value);
            }

            fn remove(&mut self, key: &str) {
                self.remove_attribute(key);
            }

            fn retain(&mut self, keep: impl Fn(&str) -> bool) {
                self.retain_attributes(|key, _| keep(key));
            }
        }
    };
}
editable!(RecordMut, attributes);
editable!(AttributesMut, view);
