//! The device metadata file of a DRA claim (KEP-5304), from which `--peer` can take its socket.
//!
//! A DRA driver mounts the file into each container that has the claim. It is a stream of JSON objects, each of which
//! describes the same devices in another version of the API. A vhost-user driver, such as dra-driver-ovsdpdk, puts the
//! path that the socket has in the container into the attribute `vhost-user-path`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The directory in a container with the metadata of claims that were made from a template. Below it are the name of the
/// claim in the pod, the name of the request, and the file.
const DIRECTORY: &str = "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates";

/// The end of the file's name. The name is that of the driver with this end, or this alone.
const SUFFIX: &str = "metadata.json";

const GROUP: &str = "metadata.resource.k8s.io/";

/// The versions of the API that have these fields.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

const ATTRIBUTE: &str = "vhost-user-path";

/// The most characters of a value of the file that a message repeats.
const SHOWN: usize = 80;

/// Why no socket can be taken from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is not JSON, or a field has another type.
    #[error("it is not a device metadata file: {0}")]
    Form(String),
    /// No object has a known version.
    #[error("it has no DeviceMetadata of a known version ({GROUP}{})", VERSIONS.join(", "))]
    Version,
    /// No device has the attribute.
    #[error("no device has the attribute {ATTRIBUTE}")]
    Missing,
    /// Several devices have different sockets.
    #[error("its devices have several sockets: {0}")]
    Several(String),
    /// The value cannot be the path of a socket.
    #[error("the {ATTRIBUTE} '{0}' is not an absolute path")]
    Path(String),
}

#[derive(Deserialize)]
struct DeviceMetadata {
    #[serde(default)]
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    attributes: BTreeMap<String, Attribute>,
}

/// A value has one field, named after its type.
#[derive(Deserialize)]
struct Attribute {
    string: Option<String>,
}

/// Returns the path at which a driver's metadata of a request is in a container.
///
/// `claim` is the name of the claim in the pod, which has a template.
#[must_use]
pub fn path(claim: &str, request: &str, driver: &str) -> String {
    format!("{DIRECTORY}/{claim}/{request}/{driver}-{SUFFIX}")
}

/// Returns whether `path` names a device metadata file and not a socket, by its end.
#[must_use]
pub fn is_named(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name == SUFFIX || name.ends_with(&format!("-{SUFFIX}")))
}

/// Returns the socket that the file with this content names.
///
/// # Errors
///
/// See [`MetadataError`]. Of the objects, the first one of a known version counts.
pub fn socket(content: &[u8]) -> Result<String, MetadataError> {
    let form = |error: serde_json::Error| MetadataError::Form(error.to_string());
    for object in serde_json::Deserializer::from_slice(content).into_iter::<Value>() {
        let object = object.map_err(form)?;
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let version = text("apiVersion").and_then(|version| version.strip_prefix(GROUP));
        if text("kind") == Some("DeviceMetadata")
            && version.is_some_and(|version| VERSIONS.contains(&version))
        {
            return only_socket(serde_json::from_value(object).map_err(form)?);
        }
    }
    Err(MetadataError::Version)
}

fn only_socket(metadata: DeviceMetadata) -> Result<String, MetadataError> {
    let devices = metadata.requests.into_iter().flat_map(|request| request.devices);
    // A driver may write the name of its domain before the attribute: ovsdpdk.k8snetworkplumbingwg.io/vhost-user-path.
    let mut sockets: Vec<String> = devices
        .flat_map(|device| device.attributes)
        .filter(|(name, _)| name.rsplit('/').next() == Some(ATTRIBUTE))
        .filter_map(|(_, attribute)| attribute.string)
        .collect();
    sockets.sort_unstable();
    sockets.dedup();
    let short = |text: &str| crate::text::line(text, SHOWN);
    match sockets.as_slice() {
        [] => Err(MetadataError::Missing),
        [socket] if socket.starts_with('/') && !socket.contains('\0') => Ok(socket.clone()),
        [socket] => Err(MetadataError::Path(short(socket))),
        several => Err(MetadataError::Several(short(&several.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str, devices: &str) -> String {
        format!(
            r#"{{"kind": "DeviceMetadata", "apiVersion": "metadata.resource.k8s.io/{version}",
                "metadata": {{"name": "pod-vhost-x", "uid": "u", "generation": 1}}, "podClaimName": "vhost",
                "requests": [{{"name": "port", "devices": [{devices}]}}]}}"#
        )
    }

    fn device(attribute: &str, socket: &str) -> String {
        format!(
            r#"{{"driver": "d", "pool": "node-a", "name": "br0",
                "attributes": {{"ports": {{"int": 4}}, "{attribute}": {{"string": "{socket}"}}}}}}"#
        )
    }

    fn of(content: &str) -> Result<String, MetadataError> {
        socket(content.as_bytes())
    }

    #[test]
    fn the_first_object_of_a_known_version_counts() {
        let newer = object("v3", &device(ATTRIBUTE, "/newer"));
        let beta = object("v1beta1", &device(ATTRIBUTE, "/beta"));
        let alpha = object("v1alpha1", &device("ovsdpdk.k8snetworkplumbingwg.io/vhost-user-path", "/alpha"));
        assert_eq!(of(&format!("{newer}\n{beta}\n{alpha}\n")).unwrap(), "/beta");
        assert_eq!(of(&format!("{alpha}{beta}")).unwrap(), "/alpha");
        assert_eq!(of(&newer), Err(MetadataError::Version));
        assert_eq!(of(""), Err(MetadataError::Version));
        assert_eq!(of(r#"{"kind": "Pod"} [] 1"#), Err(MetadataError::Version));
    }

    #[test]
    fn what_names_no_socket_or_several_is_refused() {
        for (devices, error) in [
            (String::new(), MetadataError::Missing),
            (r#"{"name": "a"}"#.to_owned(), MetadataError::Missing),
            (device("other", "/a"), MetadataError::Missing),
            (r#"{"attributes": {"vhost-user-path": {"int": 1}}}"#.to_owned(), MetadataError::Missing),
            (device(ATTRIBUTE, ""), MetadataError::Path(String::new())),
            (device(ATTRIBUTE, "run/s"), MetadataError::Path("run/s".to_owned())),
            (
                [device(ATTRIBUTE, "/b"), device(ATTRIBUTE, "/a")].join(","),
                MetadataError::Several("/a, /b".to_owned()),
            ),
        ] {
            assert_eq!(of(&object("v1", &devices)), Err(error), "{devices}");
        }
        let same = [device(ATTRIBUTE, "/a"), device(ATTRIBUTE, "/a")].join(",");
        assert_eq!(of(&object("v1", &same)).unwrap(), "/a", "one socket of two devices");
    }

    #[test]
    fn what_is_not_json_or_has_another_shape_is_refused() {
        let whole = object("v1", &device(ATTRIBUTE, "/a"));
        let cut = whole.get(..whole.len() - 1).unwrap();
        for content in ["{", "\u{0}", cut, &object("v1", "1"), &object("v1", r#"{"attributes": []}"#)] {
            assert!(matches!(of(content), Err(MetadataError::Form(_))), "{content}");
        }
        assert!(matches!(socket(b"\xff"), Err(MetadataError::Form(_))));
        let deep = "[".repeat(100_000);
        assert!(matches!(of(&deep), Err(MetadataError::Form(_))), "the depth is limited");
    }

    #[test]
    fn a_file_is_recognised_by_the_end_of_its_name() {
        let path = path("vhost", "port", "vhost.example.com");
        assert_eq!(
            path,
            "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/vhost/port/vhost.example.com-metadata.json"
        );
        assert!(is_named(&path) && is_named("metadata.json"));
        assert!(
            !is_named("/run/vhu0") && !is_named("/run/metadata.json/s") && !is_named("/run/mymetadata.json")
        );
    }
}
