//! Ids of batches that are made of others: they follow from the ids of those, and from nothing else.

/// The id of what is made of a batch with an id and of something else, in this order; 0 for a batch without an id.
pub(super) fn derived(id: u128, other: u128) -> u128 {
    if id == 0 {
        return 0;
    }
    // Two rounds of multiply and fold, with odd constants from the digits of pi.
    let mut mixed = id;
    for (word, constant) in
        [(1, 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7345), (other, 0xa409_3822_299f_31d0_082e_fa98_ec4e_6c89)]
    {
        mixed = (mixed ^ word).wrapping_mul(constant);
        mixed ^= mixed >> 61;
        mixed = mixed.rotate_left(64);
    }
    mixed.max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::derived;
    use crate::batch::{Batch, Signal};

    #[test]
    fn other_ingredients_or_another_order_give_another_id() {
        let ids = (1..100_u128).flat_map(|id| (0..100).map(move |other| derived(id << 60, other)));
        assert_eq!(ids.collect::<BTreeSet<_>>().len(), 99 * 100);
        assert_ne!(derived(1, 2), derived(2, 1));
        assert_eq!(derived(0, 7), 0);
    }

    #[test]
    fn a_batch_that_is_split_again_in_the_same_way_has_the_same_ids() {
        let split = || {
            let mut batch = Batch::builder(Signal::Logs);
            for number in 0..4 {
                batch = batch.record(|log| log.set_severity_number(number));
            }
            let mut batch = batch.build();
            batch.set_id(77);
            let rest = batch.split_off(2).unwrap();
            (batch.id(), rest.id())
        };
        assert_eq!(split(), split());
        let (first, second) = split();
        assert_ne!(first, second);
        assert!(![first, second].contains(&77));
    }
}
