//! A consistent hash ring (Karger et al., 1997): each server stands at many points of a circle, and a key belongs to the
//! server of the next point. When a server comes or goes, only the keys before its points move.
//!
//! Points and hashes are those of the Collector's `load_balancing` exporter (consistent_hashing.go), so that both
//! choose the same server for a trace.

use std::collections::BTreeMap;

use libdeflater::crc32;

/// Places on the circle.
const PLACES: u32 = 36_000;

/// Points of each server.
const POINTS: u8 = 100;

/// Who owns which key, among servers that are known by their positions in a list.
pub(super) struct Ring(Vec<(u32, usize)>);

impl Ring {
    /// Places the servers. Where two want the same place, the first in the list has it.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut points = BTreeMap::new();
        for (server, name) in names.into_iter().enumerate() {
            for number in 0..POINTS {
                let place = crc32(&[name.as_bytes(), &[number]].concat()) % PLACES;
                points.entry(place).or_insert(server);
            }
        }
        Self(points.into_iter().collect())
    }

    /// The server that owns a key; nothing if there are none.
    pub(super) fn owner(&self, key: &[u8]) -> Option<usize> {
        let place = crc32(key) % PLACES;
        let next = self.0.partition_point(|(point, _)| *point < place);
        self.0.get(next).or_else(|| self.0.first()).map(|(_, server)| *server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    const KEYS: u32 = 2000;

    /// The owner of each of many keys, by name.
    fn owners(names: &[String]) -> Vec<&str> {
        let ring = Ring::new(names.iter().map(String::as_str));
        let owner = |number: u32| {
            ring.owner(
                &u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes(),
            )
        };
        (0..KEYS).map(|number| names[owner(number).unwrap()].as_str()).collect()
    }

    fn servers() -> impl Strategy<Value = (Vec<String>, usize)> {
        btree_set("[a-z]{1,8}(-[0-9]{1,2})?:4317", 2..12)
            .prop_map(|names| names.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|names| (0..names.len()).prop_map(move |gone| (names.clone(), gone)))
    }

    proptest! {
        #[test]
        fn only_the_keys_of_a_server_that_comes_or_goes_move_and_they_are_its_share((all, gone) in servers()) {
            let mut rest = all.clone();
            let gone = rest.remove(gone);
            let (before, after) = (owners(&all), owners(&rest));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            let mut count = 0;
            for (before, _) in moved {
                prop_assert_eq!(*before, gone.as_str());
                count += 1;
            }
            prop_assert!(count * all.len() <= 2 * KEYS as usize, "{} of {} keys for 1 of {}", count, KEYS, all.len());
        }

        #[test]
        fn every_server_has_keys_and_a_key_has_one_owner((names, _) in servers()) {
            let owners = owners(&names);
            prop_assert!(names.iter().all(|name| owners.contains(&name.as_str())));
        }
    }

    #[test]
    fn points_are_those_of_the_collector() {
        // From the Collector's own consistent_hashing_test.go, which looks at the first five points of each server.
        let place = |name: &str, number: u8| crc32(&[name.as_bytes(), &[number]].concat()) % PLACES;
        let places = |name| {
            let mut places: Vec<u32> = (0..5).map(|number| place(name, number)).collect();
            places.sort_unstable();
            places
        };
        assert_eq!(places("endpoint-1"), [1401, 4175, 14_133, 17_836, 21_667]);
        assert_eq!(places("endpoint-2"), [10_240, 15_002, 21_263, 26_806, 27_020]);
        let ring = Ring::new(["endpoint-1", "endpoint-2"]);
        let trace = |start: [u8; 2]| [&start[..], &[0; 14]].concat();
        assert_eq!((ring.owner(&trace([1, 2])), ring.owner(&trace([128, 128]))), (Some(0), Some(1)));
    }

    #[test]
    fn an_empty_ring_owns_nothing() {
        assert_eq!(Ring::new([]).owner(b"key"), None);
    }
}
