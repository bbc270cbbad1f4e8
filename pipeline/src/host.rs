//! What is known of where this process runs: its host, container and pod, as attributes of a resource.
//!
//! Read once, from files and environment variables; nobody is asked over a network. The names are those of OpenTelemetry's
//! conventions. What is not known is left out.

use watershed_config::process_environment;

/// Key and value.
type Attribute = (String, String);

/// The variables of Kubernetes' downward API, under the names that are in common use.
const KUBERNETES: [(&str, &[&str]); 6] = [
    ("k8s.node.name", &["K8S_NODE_NAME", "KUBE_NODE_NAME", "NODE_NAME"]),
    ("k8s.pod.name", &["K8S_POD_NAME", "POD_NAME"]),
    ("k8s.pod.uid", &["K8S_POD_UID", "POD_UID"]),
    ("k8s.namespace.name", &["K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE"]),
    ("k8s.container.name", &["K8S_CONTAINER_NAME"]),
    ("k8s.cluster.name", &["K8S_CLUSTER_NAME"]),
];
/// Hexadecimal digits of the id of a container.
const CONTAINER_ID: usize = 64;

/// Name and kind of the host: `host.name`, `host.arch`, `os.type`, `os.description`.
#[must_use]
pub fn host_attributes() -> Vec<(String, String)> {
    let host = read("/proc/sys/kernel/hostname").or_else(|| process_environment("HOSTNAME"));
    let release = read("/etc/os-release").and_then(|text| pretty_name(&text));
    let attributes = [
        ("host.name", host.map(|name| name.trim().to_owned())),
        ("host.arch", Some(architecture(std::env::consts::ARCH).to_owned())),
        ("os.type", Some(system(std::env::consts::OS).to_owned())),
        ("os.description", release),
    ];
    present(attributes)
}

/// `container.id`, from the cgroups or mounts of this process.
#[must_use]
pub fn container_attributes() -> Vec<(String, String)> {
    let id =
        ["/proc/self/cgroup", "/proc/self/mountinfo"].into_iter().find_map(|path| container_id(&read(path)?));
    present([("container.id", id)])
}

/// What Kubernetes says of this pod in environment variables, if its manifest asks for them (downward API).
#[must_use]
pub fn kubernetes_attributes() -> Vec<(String, String)> {
    present(KUBERNETES.map(|(key, names)| (key, names.iter().find_map(|name| process_environment(name)))))
}

/// `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_SERVICE_NAME` as `service.name`, which wins.
#[must_use]
pub fn environment_attributes() -> Vec<(String, String)> {
    let text = process_environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let mut attributes = resource_attributes(&text);
    if let Some(name) = process_environment("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), name));
    }
    attributes
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn present<const N: usize>(attributes: [(&str, Option<String>); N]) -> Vec<Attribute> {
    let known = attributes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

fn pretty_name(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// An architecture as OpenTelemetry names it.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// An operating system as OpenTelemetry names it.
fn system(name: &str) -> &str {
    if name == "macos" { "darwin" } else { name }
}

/// The id of a container: the last 64 hexadecimal digits in a row that a path of these lines holds.
fn container_id(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.contains("/sandboxes/"));
    let mut words = lines.flat_map(|line| line.rsplit(|letter: char| !letter.is_ascii_alphanumeric()));
    let is_id = |word: &&str| word.len() == CONTAINER_ID && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.find(is_id).map(str::to_owned)
}

/// `key=value,key=value`, percent-encoded (specification of OpenTelemetry's resource SDK).
fn resource_attributes(text: &str) -> Vec<Attribute> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = pairs.map(|(key, value)| (decode(key.trim()), decode(value.trim())));
    decoded.filter(|(key, value)| !key.is_empty() && !value.is_empty()).collect()
}

/// Bytes for `%` and two hexadecimal digits; anything else stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        let decoded = digits.and_then(crate::parse::hex::<1>);
        bytes.push(decoded.map_or(*first, |[byte]| byte));
        rest = if decoded.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_attributes_are_pairs_in_percent_encoding() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("a=b, c = d", vec![pair("a", "b"), pair("c", "d")]),
            ("team=a%2Cb%3D%C3%A9", vec![pair("team", "a,b=é")]),
            ("rate=5%,x=%zz", vec![pair("rate", "5%"), pair("x", "%zz")]),
            ("a,=b,c=", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(resource_attributes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_id_of_a_container_is_found_in_cgroups_and_mounts() {
        let id = "dc64b5743252dbaef6e30521c34d6bbd1620c8ce65bdb7bf9e7143b61bb5b183";
        for text in [
            format!("12:pids:/docker/{id}\n0::/"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("1 2 0:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw"),
        ] {
            assert_eq!(container_id(&text).as_deref(), Some(id), "{text}");
        }
        assert_eq!(container_id("0::/init.scope\n"), None);
        assert_eq!(container_id(&format!("1 2 /run/containerd/sandboxes/{id}/x")), None);
    }

    #[test]
    fn the_host_has_a_name_and_a_system() {
        let attributes = host_attributes();
        assert!(attributes.iter().any(|(key, value)| key == "os.type" && !value.is_empty()));
        assert_eq!(pretty_name("ID=debian\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
    }
}
