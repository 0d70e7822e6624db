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

/// GNU tar cuts the name in the block off after 100 bytes, wherever that is.
#[test]
fn a_file_stays_one_where_its_name_is_cut_off_behind_a_slash() {
    let directory = format!("{}/", "d".repeat(99));
    let path = format!("{directory}file");
    let record = format!("{} path={path}\n", path.len() + 10);
    for typeflag in [b'0', 0] {
        let file = [block(&directory, typeflag, 3), body(b"abc")].concat();
        let archive = [extended(b'x', record.as_bytes()), file].concat();
        assert_eq!(names(&archive).unwrap(), [(path.clone(), 3)]);
    }
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

/// Name, size and parts of a sparse file.
type Sparse = (String, u64, Vec<(u64, u64)>);

/// The error of an archive, or what it says of its only file.
fn sparse(archive: &[u8]) -> Result<Sparse, String> {
    let mut reader = Reader::new(archive, Limits::default());
    let header = reader.next().map_err(|error| error.to_string())?.unwrap();
    let map = header.sparse.expect("the file is sparse");
    let parts = map.parts().iter().map(|part| (part.offset, part.length)).collect();
    Ok((String::from_utf8(header.name).unwrap(), header.size, parts))
}

fn old_sparse(parts: &[(u64, u64)], size: u64, stored: u64) -> Vec<u8> {
    let mut block = block("a", b'S', stored);
    block[257..265].copy_from_slice(b"ustar  \0");
    for (index, (offset, length)) in parts.iter().enumerate() {
        let at = 386 + index * 24;
        block[at..at + 24].copy_from_slice(format!("{offset:011o}\0{length:011o}\0").as_bytes());
    }
    block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    seal(&mut block);
    [block, vec![b'x'; stored.div_ceil(512) as usize * 512]].concat()
}

fn pax_sparse(records: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 14;
        (0..).map(|more| rest + more).find_map(|length| {
            let text = format!("{length} GNU.sparse.{key}={value}\n");
            (text.len() == length).then_some(text)
        })
    };
    let records: String = records.iter().map(|pair| record(pair).unwrap()).collect();
    [extended(b'x', records.as_bytes()), block("a", b'0', content.len() as u64), body(content)].concat()
}

#[test]
fn maps_of_all_forms_are_read() {
    let old = old_sparse(&[(512, 3), (2048, 0)], 2048, 3);
    assert_eq!(sparse(&old).unwrap(), ("a".to_owned(), 2048, vec![(512, 3), (2048, 0)]));
    let form_0 = [("size", "9"), ("numblocks", "1"), ("offset", "1"), ("numbytes", "3")];
    assert_eq!(sparse(&pax_sparse(&form_0, b"abc")).unwrap(), ("a".to_owned(), 9, vec![(1, 3)]));
    let form_1 = [("name", "b"), ("size", "9"), ("map", "0,1,4,2")];
    assert_eq!(sparse(&pax_sparse(&form_1, b"abc")).unwrap(), ("b".to_owned(), 9, vec![(0, 1), (4, 2)]));
    let form_2 = [("major", "1"), ("minor", "0"), ("name", "b"), ("realsize", "9")];
    let content = [body(b"2\n0\n1\n4\n2\n"), b"abc".to_vec()].concat();
    assert_eq!(sparse(&pax_sparse(&form_2, &content)).unwrap(), ("b".to_owned(), 9, vec![(0, 1), (4, 2)]));
}

#[test]
fn maps_that_lie_are_refused() {
    let version = |size| [("major", "1"), ("minor", "0"), ("realsize", size)];
    let long = "1,1,".repeat(70_000);
    for (archive, reason) in [
        (old_sparse(&[(0, 3), (2, 3)], 2048, 6), "overlap"),
        (old_sparse(&[(8, 3), (2, 3)], 2048, 6), "overlap"),
        (old_sparse(&[(0, 3)], 2, 3), "exceeds its size"),
        (old_sparse(&[(0, 3)], 2048, 4), "does not fit"),
        (old_sparse(&[(0, 5)], 2048, 4), "does not fit"),
        (pax_sparse(&[("size", "9"), ("map", "18446744073709551615,2")], b"ab"), "exceeds its size"),
        (pax_sparse(&[("size", "9"), ("map", "1,2,3")], b"ab"), "ends early"),
        (pax_sparse(&[("size", "9"), ("map", "1,-2")], b"ab"), "no number"),
        (pax_sparse(&[("size", "9"), ("map", &long)], b"ab"), "65536 parts"),
        (pax_sparse(&[("map", "0,2")], b"ab"), "no size"),
        (pax_sparse(&[("size", "9"), ("numbytes", "2")], b"ab"), "no offset"),
        (pax_sparse(&[("major", "2"), ("minor", "0"), ("size", "9")], b"ab"), "unknown form"),
        (pax_sparse(&[("colour", "9")], b"ab"), "unknown"),
        (pax_sparse(&version("9"), b""), "exceeds its body"),
        (pax_sparse(&version("9"), &body(b"99999999999999999999\n")), "no number"),
        (pax_sparse(&version("9"), &body(b"2\n0\n1\n")), "no number"),
        (pax_sparse(&version("9"), &body(b"1\n0\n1\n")), "does not fit"),
    ] {
        let error = sparse(&archive).unwrap_err();
        assert!(error.contains(reason), "{error} is not about {reason}");
    }
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
