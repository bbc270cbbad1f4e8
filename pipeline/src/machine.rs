//! How much memory the machine gives this process.

/// Cgroup folders deeper than this are not looked at.
const CGROUP_DEPTH_MAX: usize = 32;

/// The memory that this process may use: the smallest of its cgroups' limits and the host's memory, in bytes; none
/// where neither is known.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let read = |path: String| std::fs::read_to_string(path).ok();
    let own = read("/proc/self/cgroup".into()).unwrap_or_default();
    let limits = cgroup_files(&own).into_iter().filter_map(read);
    smallest(&read("/proc/meminfo".into()).unwrap_or_default(), limits)
}

/// The files that may limit the memory of a process whose `/proc/self/cgroup` has this text, for both versions of
/// cgroups, from its own group up to the root.
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

/// The smallest of the host's memory and the limits; a limit of `max` is none.
fn smallest(meminfo: &str, limits: impl Iterator<Item = String>) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let host = kilobytes.map(|count| count.saturating_mul(1024));
    limits.filter_map(|text| text.trim().parse().ok()).chain(host).filter(|bytes| *bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_of_host_and_groups_is_what_may_be_used() {
        let meminfo = "MemTotal:       16000 kB\nMemFree: 1 kB\n";
        let limits =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().into_iter();
        assert_eq!(smallest(meminfo, limits(&["max\n"])), Some(16_384_000));
        assert_eq!(smallest(meminfo, limits(&["max\n", "4096\n"])), Some(4096));
        assert_eq!(smallest("", limits(&["9223372036854771712"])), Some(9_223_372_036_854_771_712));
        assert_eq!(smallest("", limits(&[])), None);
    }

    #[test]
    fn a_group_is_limited_by_all_groups_above_it() {
        let own = "4:memory:/a\n1:cpu:/x\n0::/system.slice/w.service\n";
        let files = [
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/system.slice/w.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(cgroup_files(own), files);
        assert_eq!(cgroup_files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }
}
