//! The tar reader against GNU tar and Python's tarfile, on archives that they and chance have made: what is taken
//! is read as they read it, and where they would differ it is refused.

mod fuzz_rig;

use fuzz_rig::{Rng, change, reseal};
use sampan::image::limits::Limits;
use sampan::image::tar::{Reader, Type};
use serde_json::Value;
use sha2::Digest as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An entry as all three can tell it.
#[derive(Debug, PartialEq)]
struct Told {
    name: Vec<u8>,
    kind: u64,
    size: u64,
    mode: u64,
    owner: (u64, u64),
    seconds: i64,
    link: Vec<u8>,
    content: String,
}

/// Lists each archive that is named on standard input, a JSON line for each; `null` for what it refuses.
const PYTHON: &str = r#"
import hashlib, json, sys, tarfile
KINDS = {tarfile.REGTYPE: 0, tarfile.AREGTYPE: 0, tarfile.CONTTYPE: 0, tarfile.LNKTYPE: 1, tarfile.SYMTYPE: 2,
    tarfile.CHRTYPE: 3, tarfile.BLKTYPE: 3, tarfile.DIRTYPE: 5, tarfile.FIFOTYPE: 6}
for path in sys.stdin.read().split("\n")[:-1]:
    try:
        entries = []
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            for entry in archive:
                content = archive.extractfile(entry).read() if entry.isreg() else b""
                if entry.isreg() and len(content) != entry.size:
                    raise tarfile.ReadError("truncated")
                name = entry.name.encode("utf-8", "surrogateescape").hex()
                link = entry.linkname if entry.islnk() or entry.issym() else ""
                entries.append([name, KINDS[entry.type], entry.size if entry.isreg() else 0, entry.mode & 0o7777,
                    entry.uid, entry.gid, int(entry.mtime // 1), link.encode("utf-8", "surrogateescape").hex(),
                    hashlib.sha256(content).hexdigest()])
        print(json.dumps(entries))
    except Exception:
        print("null")
"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Names without what no reader agrees on: `./` in front and slashes at the end.
fn plain(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.collect::<Vec<_>>().join(&b'/')
}

fn ours(archive: &[u8]) -> Result<Vec<Told>, String> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut entries = Vec::new();
    while let Some(header) = reader.next().map_err(|error| error.to_string())? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| error.to_string())?;
        let (kind, linked) = match header.kind {
            Type::File => (0, false),
            Type::HardLink => (1, true),
            Type::Symlink => (2, true),
            Type::Device => (3, false),
            Type::Directory => (5, false),
            Type::Fifo => (6, false),
        };
        entries.push(Told {
            name: plain(&header.name),
            kind,
            size: header.size,
            mode: header.mode.into(),
            owner: (header.uid.into(), header.gid.into()),
            seconds: header.mtime.seconds,
            link: if linked { header.link } else { Vec::new() },
            content: hex(&sha2::Sha256::digest(&content)),
        });
    }
    Ok(entries)
}

/// What Python makes of archives; `None` for one that it refuses.
fn of_python(archives: &[PathBuf]) -> Vec<Option<Vec<Told>>> {
    let list: String = archives.iter().map(|path| format!("{}\n", path.display())).collect();
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), list.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Option<Vec<Value>>>(line).unwrap()).map(entries).collect()
}

fn entries(listing: Option<Vec<Value>>) -> Option<Vec<Told>> {
    let entry = |value: &Value| Told {
        name: plain(&unhex(value[0].as_str().unwrap())),
        kind: value[1].as_u64().unwrap(),
        size: value[2].as_u64().unwrap(),
        mode: value[3].as_u64().unwrap(),
        owner: (value[4].as_u64().unwrap_or(u64::MAX), value[5].as_u64().unwrap_or(u64::MAX)),
        seconds: value[6].as_i64().unwrap_or(i64::MAX),
        link: unhex(value[7].as_str().unwrap()),
        content: value[8].as_str().unwrap().to_owned(),
    };
    Some(listing?.iter().map(entry).collect())
}

/// A tree of chance: names short and long, of any bytes, of every kind.
fn grow(root: &Path, rng: &mut Rng) {
    use std::os::unix::ffi::OsStringExt as _;
    let mut directories = vec![root.to_owned()];
    for number in 0..24 {
        let length = [1, 8, 60, 99, 100, 101, 155, 200, 250][rng.below(9)];
        let odd = [&b"a"[..], b"\xff", "ü".as_bytes(), b" ", b"\n", b"\\"][rng.below(6)];
        let mut name = format!("{number}-").into_bytes();
        name.resize(length.max(name.len()), b'n');
        name.extend_from_slice(odd);
        let path = directories[rng.below(directories.len())].join(std::ffi::OsString::from_vec(name));
        // A path must be one that every program can open.
        if path.as_os_str().len() > 2000 {
            continue;
        }
        match rng.below(8) {
            0 | 1 => {
                std::fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            2 => std::os::unix::fs::symlink("t".repeat([1, 100, 101, 300][rng.below(4)]), &path).unwrap(),
            3 => rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap(),
            _ => std::fs::write(&path, "x".repeat([0, 1, 511, 512, 513, 5000][rng.below(6)])).unwrap(),
        }
        let owner = [0, 1, 33, 65534, 2_097_151, 2_097_152, 4_000_000_000][rng.below(7)];
        std::os::unix::fs::lchown(&path, Some(owner), Some(owner)).unwrap();
    }
}

/// Archives of a tree in the forms that GNU tar and Python write; some cannot hold every tree.
fn packed(tree: &Path, into: &Path) -> Vec<PathBuf> {
    let mut archives = Vec::new();
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        let archive = into.join(format!("gnu-{format}.tar"));
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", &format!("--format={format}"), "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(tree)
            .arg(".");
        if tar.output().unwrap().status.success() {
            archives.push(archive);
        }
    }
    for format in ["USTAR", "GNU", "PAX"] {
        let archive = into.join(format!("python-{format}.tar"));
        let script = format!(
            "import sys, tarfile\nwith tarfile.open(sys.argv[1], 'w', format=tarfile.{format}_FORMAT) as tar: tar.add(sys.argv[2], '.')"
        );
        let python = Command::new("python3").args(["-c", &script]).arg(&archive).arg(tree).output().unwrap();
        if python.status.success() {
            archives.push(archive);
        }
    }
    archives
}

#[test]
fn generated_archives_are_read_as_python_and_gnu_tar_read_them() {
    let mut rng = Rng(7);
    for _ in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        grow(&tree, &mut rng);
        let archives = packed(&tree, directory.path());
        assert!(archives.len() >= 3, "gnu, posix and PAX hold any tree: {archives:?}");
        for (archive, theirs) in archives.iter().zip(of_python(&archives)) {
            let found = ours(&std::fs::read(archive).unwrap()).unwrap();
            assert_eq!(Some(&found), theirs.as_ref(), "{}", archive.display());
            assert_as_unpacked(&found, archive, &directory.path().join("unpacked"));
        }
    }
}

/// GNU tar's word is the tree that it unpacks.
fn assert_as_unpacked(found: &[Told], archive: &Path, place: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let _ = std::fs::remove_dir_all(place);
    std::fs::create_dir(place).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "-p", "-xf"]).arg(archive).arg("-C").arg(place);
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for entry in found {
        let path = place.join(std::ffi::OsStr::from_bytes(&entry.name));
        let metadata = path.symlink_metadata().unwrap();
        let owner = (u64::from(metadata.uid()), u64::from(metadata.gid()));
        assert_eq!(owner, entry.owner, "{}", path.display());
        assert_eq!(metadata.mtime(), entry.seconds, "{}", path.display());
        if metadata.is_file() {
            assert_eq!(hex(&sha2::Sha256::digest(std::fs::read(&path).unwrap())), entry.content);
        }
        if metadata.is_symlink() {
            assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes(), entry.link);
        } else {
            assert_eq!(u64::from(metadata.mode() & 0o7777), entry.mode, "{}", path.display());
        }
    }
}

#[test]
fn changed_archives_are_read_as_python_reads_them_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut rng = Rng(11);
    grow(&tree, &mut rng);
    let seeds: Vec<Vec<u8>> =
        packed(&tree, directory.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
    let rounds = std::env::var("SAMPAN_FUZZ").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(600);
    let mut taken = Vec::new();
    let mut found = Vec::new();
    for round in 0..rounds {
        let mut archive = seeds[round % seeds.len()].clone();
        change(&mut archive, &seeds[rng.below(seeds.len())], &mut rng);
        reseal(&mut archive);
        // GNU's headers have times where Python always sees a prefix; the two of them differ there.
        if archive.chunks_exact(512).any(|block| block[257..263] == *b"ustar " && block[345] != 0) {
            continue;
        }
        let Ok(entries) = ours(&archive) else { continue };
        let path = directory.path().join(format!("{round}.changed"));
        std::fs::write(&path, archive).unwrap();
        taken.push(path);
        found.push(entries);
    }
    assert!(taken.len() > rounds / 20, "only {} of {rounds} are taken", taken.len());
    for ((path, found), theirs) in taken.iter().zip(&found).zip(of_python(&taken)) {
        // Python ends without a word at a header that it finds wrong: what it told until then counts.
        for (ours, theirs) in found.iter().zip(theirs.unwrap_or_default()) {
            assert_eq!(ours, &theirs, "{}", path.display());
        }
    }
}
