//! The reader against archives that other parsers have got wrong.

use super::*;

fn block(name: &str, typeflag: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0u8; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000001");
    block[156] = typeflag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn body(bytes: &[u8]) -> Vec<u8> {
    let mut body = bytes.to_vec();
    body.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    body
}

fn extended(typeflag: u8, content: &[u8]) -> Vec<u8> {
    [block("ext", typeflag, content.len() as u64), body(content)].concat()
}

fn names(archive: &[u8]) -> Result<Vec<(String, u64)>, String> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut names = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(header)) => names.push((String::from_utf8(header.name).unwrap(), header.size)),
            Ok(None) => return Ok(names),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn a_pax_size_wins_both_ways() {
    let hidden = block("hidden", b'0', 0);
    let small_header = [extended(b'x', b"12 size=512\n"), block("a", b'0', 0), hidden.clone()].concat();
    assert_eq!(names(&small_header).unwrap(), [("a".to_owned(), 512)]);
    let large_header = [extended(b'x', b"10 size=0\n"), block("a", b'0', 512), hidden].concat();
    assert_eq!(names(&large_header).unwrap(), [("a".to_owned(), 0), ("hidden".to_owned(), 0)]);
}

#[test]
fn records_bind_to_the_next_real_entry() {
    let long = extended(b'L', b"long-name\0");
    let records = extended(b'x', b"10 size=3\n");
    let file = [block("a", b'0', 0), body(b"abc")].concat();
    for archive in [[records.clone(), long.clone(), file.clone()], [long, records.clone(), file.clone()]] {
        assert_eq!(names(&archive.concat()).unwrap(), [("long-name".to_owned(), 3)]);
    }
    assert!(names(&records).unwrap_err().contains("ends after an extension header"));
    assert!(names(&[records.clone(), records, file].concat()).unwrap_err().contains("two extension headers"));
}

#[test]
fn only_files_have_bodies() {
    for typeflag in *b"123456" {
        let archive = [block("a", typeflag, 512), block("hidden", b'0', 0)].concat();
        assert!(names(&archive).unwrap_err().contains("has a body"), "{}", char::from(typeflag));
    }
}

#[test]
fn broken_archives_are_refused() {
    let file = [block("a", b'0', 3), body(b"abc")].concat();
    let mut flipped = file.clone();
    flipped[0] ^= 1;
    let mut negative = block("a", b'0', 0);
    negative[108..116].fill(0xff);
    seal(&mut negative);
    for (archive, reason) in [
        (file[..700].to_vec(), "truncated"),
        (file[..100].to_vec(), "truncated"),
        (flipped, "checksum"),
        (negative, "32 bits"),
        ([vec![0; BLOCK], file.clone()].concat(), "lone zero block"),
        (extended(b'g', b"10 size=0\n"), "global"),
        (block("a", b'S', 0), "sparse"),
        (extended(b'x', b"22 GNU.sparse.major=1\n"), "ends after"),
        (block("a", b'Q', 0), "unknown type"),
        (block("ext", b'x', 2 << 20), "limit \"extension\""),
    ] {
        let error = names(&archive).unwrap_err();
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
    assert_eq!(names(&[file, vec![0; 2 * BLOCK], b"junk".to_vec()].concat()).unwrap().len(), 1);
}

#[test]
fn a_prefix_belongs_to_posix_archives() {
    let mut long = block("b", b'0', 0);
    long[345..348].copy_from_slice(b"dir");
    seal(&mut long);
    assert_eq!(names(&long).unwrap()[0].0, "dir/b");
    long[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut long);
    assert_eq!(names(&long).unwrap()[0].0, "b");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0usize..1024, value: u8) {
        let _ = names(&bytes);
        let mut archive = [block("a", b'0', 3), body(b"abc"), extended(b'x', b"10 size=0\n"), block("b", b'5', 0)].concat();
        archive[at] = value;
        let _ = names(&archive);
    }
}
