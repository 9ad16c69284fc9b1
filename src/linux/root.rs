//! Reads the kernel's files. Every read of /proc, /sys and /dev goes through a [`HostRoot`], so that tests can use a
//! captured tree in place of the machine.

use std::fs::{DirEntry, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::recording::{Recorded, Recording};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::reading::Reading;

/// The root of the tree of kernel files: `/`, or the directory of a captured tree.
#[derive(Debug, Clone)]
pub struct HostRoot {
    directory: PathBuf,
    /// Where everything that is read is recorded; `None` if it is not.
    recording: Option<Recording>,
}

/// This process's directory in /proc.
pub const THIS_PROCESS: &str = "/proc/self";
/// The maximum size in bytes of a value file of sysfs or of a cgroup. The kernel's own limit is one page.
const VALUE_LIMIT: u64 = 4096;
/// The maximum size in bytes of a table (mountinfo, smaps, cpuinfo). Mount tables of Kubernetes nodes can be megabytes.
const TABLE_LIMIT: u64 = 64 << 20;

// === impl HostRoot ===

impl Default for HostRoot {
    fn default() -> Self {
        Self::new("/")
    }
}

impl HostRoot {
    /// Uses the tree below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { directory: root.into(), recording: None }
    }

    /// Uses the tree below `root` as a captured tree, also if it is `/`, and records what is read of it.
    pub fn recorded(root: impl Into<PathBuf>, recording: &Recording) -> Self {
        Self { directory: root.into(), recording: Some(recording.clone()) }
    }

    /// Returns the same root, without recording what is read.
    #[must_use]
    pub fn without_recording(&self) -> Self {
        Self { recording: None, ..self.clone() }
    }

    /// Returns whether what is read is recorded.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// Returns whether this is the running machine rather than a captured tree.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.recording.is_none() && self.directory == Path::new("/")
    }

    /// Returns the location under this root of `path`, an absolute path on the machine. Leading slashes and `..` cannot
    /// lead out of the root.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        use std::path::Component;
        let mut full = self.directory.clone();
        for component in path.as_ref().components() {
            if let Component::Normal(name) = component {
                full.push(name);
            }
        }
        full
    }

    /// Returns the text of a value file (sysfs, cgroup), without leading and trailing white space.
    #[must_use]
    pub fn value(&self, path: impl AsRef<Path>) -> Reading<String> {
        self.text(path.as_ref(), VALUE_LIMIT).map(|text| text.trim().to_owned())
    }

    /// Returns the text of a table (`/proc/self/mountinfo`, `/proc/cpuinfo`). Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn table(&self, path: impl AsRef<Path>) -> Reading<String> {
        self.text(path.as_ref(), TABLE_LIMIT)
    }

    /// Returns one entry of a table, from the first line for which `wanted` is true to the next line for which `begins`
    /// is true. Reads no further than that.
    ///
    /// `Absent` if there is no such entry or no such file.
    #[must_use]
    pub fn entry(
        &self,
        path: impl AsRef<Path>,
        wanted: impl Fn(&str) -> bool,
        begins: impl Fn(&str) -> bool,
    ) -> Reading<String> {
        let path = path.as_ref();
        let read = self.open(path).and_then(|file| {
            let mut lines = BufReader::new(file.take(TABLE_LIMIT));
            let (mut entry, mut line) = (String::new(), Vec::new());
            while lines.read_until(b'\n', &mut line)? > 0 {
                let text = String::from_utf8_lossy(&line);
                if !entry.is_empty() && begins(&text) {
                    break;
                }
                if !entry.is_empty() || wanted(&text) {
                    entry.push_str(&text);
                }
                line.clear();
            }
            Ok(entry)
        });
        match read {
            Ok(entry) if entry.is_empty() => Reading::Absent,
            Ok(entry) => Reading::Known(entry),
            Err(error) => trouble(path, "read", &error),
        }
    }

    /// Returns the content of a value file, parsed by `parse`; `Malformed` if `parse` returns `None`.
    #[must_use]
    pub fn parsed<T>(&self, path: impl AsRef<Path>, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
        let path = path.as_ref();
        self.value(path).and_then(|text| match parse(&text) {
            Some(value) => Reading::Known(value),
            None => Reading::Malformed(format!("{} holds {}", path.display(), quoted(&text))),
        })
    }

    /// Returns the decimal number in a value file.
    #[must_use]
    pub fn number(&self, path: impl AsRef<Path>) -> Reading<u64> {
        self.parsed(path, parse_digits)
    }

    /// Returns the sorted names in a directory. Names that are not UTF-8 are left out: the kernel creates none that
    /// matter here.
    #[must_use]
    pub fn names(&self, path: impl AsRef<Path>) -> Reading<Vec<String>> {
        let path = path.as_ref();
        let listed = std::fs::read_dir(self.path(path)).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        self.record(path, &listed, |names| {
            Recorded::Names(names.iter().filter_map(|name| name.to_str().map(str::to_owned)).collect())
        });
        match listed {
            Ok(names) => {
                let mut names: Vec<_> =
                    names.into_iter().filter_map(|name| name.into_string().ok()).collect();
                names.sort_unstable();
                Reading::Known(names)
            }
            Err(error) => trouble(path, "list", &error),
        }
    }

    /// Returns the sorted names of the directories in a directory. Symbolic links do not count.
    #[must_use]
    pub fn subdirectories(&self, path: impl AsRef<Path>) -> Reading<Vec<String>> {
        let path = path.as_ref();
        let is_directory = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let listed = std::fs::read_dir(self.path(path)).and_then(|entries| {
            let kept = entries.filter(|entry| entry.as_ref().map_or(true, is_directory));
            kept.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()))
                .collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(names) => {
                let mut names: Vec<_> = names.into_iter().flatten().collect();
                names.sort_unstable();
                Reading::Known(names)
            }
            Err(error) => trouble(path, "list", &error),
        }
    }

    /// Returns the target of a symbolic link, such as `/proc/self/ns/pid`.
    ///
    /// # Errors
    ///
    /// Those of readlink(2).
    pub fn link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = path.as_ref();
        let target = std::fs::read_link(self.path(path));
        self.record(path, &target, |target| Recorded::Link(target.clone()));
        target
    }

    fn record<T>(&self, path: &Path, read: &io::Result<T>, recorded: impl FnOnce(&T) -> Recorded) {
        let Some(recording) = &self.recording else { return };
        match read {
            Ok(value) => recording.add(path, recorded(value)),
            Err(error) if is_absent(error) => {}
            Err(error) => recording.add(path, Recorded::Unreadable(error.to_string())),
        }
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        // O_NONBLOCK: a captured tree may contain a FIFO, and opening a FIFO must not wait for a writer.
        File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(self.path(path))
    }

    fn text(&self, path: &Path, limit: u64) -> Reading<String> {
        let mut bytes = Vec::new();
        let read = self.open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        self.record(path, &read, |_| Recorded::Text(bytes.clone()));
        match read {
            Ok(length) if length as u64 > limit => {
                Reading::Malformed(format!("{} is longer than {limit} bytes", path.display()))
            }
            Ok(_) => Reading::Known(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => trouble(path, "read", &error),
        }
    }
}

/// Returns the beginning of a text in quotes, as one line with control characters escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().count() > SHOWN { format!("'{shown}…'") } else { format!("'{shown}'") }
}

fn trouble<T>(path: &Path, verb: &str, error: &io::Error) -> Reading<T> {
    if is_absent(error) {
        return Reading::Absent;
    }
    Reading::Unreadable(format!("cannot {verb} {}: {error}", path.display()))
}

/// Returns whether the error means that there is no such file. ENOTDIR: in a captured tree, a parent directory may be a
/// file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn absent_unreadable_malformed_and_zero_are_four_things() {
        let (directory, root) = tree();
        std::fs::write(directory.path().join("zero"), "0\n").unwrap();
        std::fs::write(directory.path().join("empty"), "").unwrap();
        std::fs::write(directory.path().join("text"), "many\u{7}\n").unwrap();
        std::fs::write(directory.path().join("signed"), "-1").unwrap();
        std::fs::write(directory.path().join("plus"), "+1").unwrap();
        std::fs::write(directory.path().join("huge"), "9".repeat(5000)).unwrap();
        std::fs::write(directory.path().join("overflow"), "99999999999999999999").unwrap();
        std::fs::create_dir(directory.path().join("directory")).unwrap();
        assert_eq!(root.number("/zero"), Reading::Known(0));
        assert_eq!(root.number("/none"), Reading::Absent);
        assert_eq!(root.number("/zero/below"), Reading::Absent);
        assert!(matches!(root.number("/directory"), Reading::Unreadable(why) if why.contains("/directory")));
        for name in ["/empty", "/text", "/signed", "/plus", "/huge", "/overflow"] {
            assert!(matches!(root.number(name), Reading::Malformed(why) if why.contains(name)), "{name}");
        }
    }

    #[test]
    fn an_entry_is_read_to_its_end_and_no_further() {
        let (directory, root) = tree();
        std::fs::write(directory.path().join("table"), b"a:\n 1\n\xff\nb:\n 2\nc:\n 3").unwrap();
        let begins = |line: &str| line.trim_end().ends_with(':');
        let entry = |name: &str| root.entry("/table", |line| line.trim_end() == name, begins);
        assert_eq!(entry("a:"), Reading::Known("a:\n 1\n\u{fffd}\n".to_owned()));
        assert_eq!(entry("b:"), Reading::Known("b:\n 2\n".to_owned()));
        assert_eq!(entry("c:"), Reading::Known("c:\n 3".to_owned()));
        assert_eq!(entry("d:"), Reading::Absent);
        assert_eq!(root.entry("/none", |_| true, begins), Reading::Absent);
        assert!(matches!(root.entry("/", |_| true, begins), Reading::Unreadable(_)));
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        let (directory, root) = tree();
        assert_eq!(root.path("/a/../../b"), directory.path().join("a/b"));
        assert_eq!(root.path("../b"), directory.path().join("b"));
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let (directory, root) = tree();
        nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(root.number("/fifo"), Reading::Malformed(_)));
    }

    #[test]
    fn what_is_shown_of_garbage_is_short_and_on_one_line() {
        assert_eq!(quoted("a\nb"), "'a\\nb'");
        assert!(quoted(&"x".repeat(100)).chars().count() < 50);
    }
}
