//! How much memory telemetry in flight may take when no `memory_limiter` says so.

use std::fs::read_to_string;

use watershed_pipeline::Budget;

const MIB: u64 = 1 << 20;
/// The limit is one part of so many of the memory that the process may use, …
const SHARE: u64 = 4;
/// … and never more than this: who wants more can say so.
const LIMIT_MAX: u64 = 4096 * MIB;
/// The limit where the size of the memory is not known.
const LIMIT_UNKNOWN: u64 = 512 * MIB;
/// New requests are taken up to four fifths of the limit; the rest is for what is under way.
const SPIKE_SHARE: u64 = 5;
/// Groups deeper than this are not looked at.
const CGROUP_DEPTH_MAX: usize = 32;

/// A quarter of the container's limit or of the host's memory, at most 4 GiB; 512 MiB where neither is known.
pub(crate) fn default_budget() -> Budget {
    let read = |path: String| read_to_string(path).ok();
    let own = read("/proc/self/cgroup".into()).unwrap_or_default();
    let limits = cgroup_files(&own).into_iter().filter_map(read);
    let hard = limit(&read("/proc/meminfo".into()).unwrap_or_default(), limits);
    let bytes = |count| usize::try_from(count).unwrap_or(usize::MAX);
    Budget::new(bytes(hard - hard / SPIKE_SHARE), bytes(hard))
}

fn limit(meminfo: &str, cgroup_limits: impl Iterator<Item = String>) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let host = kilobytes.map(|count| count.saturating_mul(1024));
    let known = cgroup_limits.filter_map(|text| text.trim().parse().ok()).chain(host);
    known.filter(|bytes| *bytes > 0).min().map_or(LIMIT_UNKNOWN, |bytes| (bytes / SHARE).min(LIMIT_MAX))
}

/// The files that may limit a process whose `/proc/self/cgroup` has this text, in both versions of cgroups.
fn cgroup_files(own: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = path.trim_end_matches('/');
        for _ in 0..CGROUP_DEPTH_MAX {
            files.push(format!("{root}{group}/{file}"));
            let Some((parent, _)) = group.rsplit_once('/') else { break };
            group = parent;
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(meminfo: &str, cgroups: &[&str], expected_mib: u64) {
        assert_eq!(limit(meminfo, cgroups.iter().map(|text| (*text).to_owned())), expected_mib * MIB);
    }

    #[test]
    fn the_smallest_limit_counts_and_large_hosts_are_not_used_up() {
        let two_gib = "MemTotal:    2097152 kB\n";
        check(two_gib, &[], 512);
        check(two_gib, &["max\n", "536870912\n"], 128);
        check("MemTotal: 268435456 kB", &[], 4096);
        check("", &["max"], 512);
    }

    #[test]
    fn parents_of_a_group_limit_it_too() {
        assert_eq!(
            cgroup_files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
    }
}
