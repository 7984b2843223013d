use super::*;

/// Written by `tests/python/make_state_dict_fixture.py`.
const TORCH_SAVE: &[u8] = include_bytes!("../../../tests/fixtures/state_dict.pth");

fn tensor(name: &str, shape: &[i64], data: &[f32]) -> NamedTensor {
    NamedTensor { name: name.into(), shape: shape.to_vec(), data: data.to_vec() }
}

fn tensors() -> Vec<NamedTensor> {
    vec![
        tensor("encoder.0.weight", &[2, 3], &[1.0, -2.5, f32::MIN_POSITIVE, 4.0, 5.0, 1e30]),
        tensor("encoder.0.bias", &[2], &[0.0, -0.0]),
        tensor("scalar", &[], &[7.0]),
        tensor("empty", &[0, 4], &[]),
    ]
}

#[test]
fn written_tensors_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    write(&path, &tensors()).unwrap();
    let first = fs::read(&path).unwrap();
    assert_eq!(read(&path).unwrap(), tensors());
    write(&path, &tensors()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first, "equal tensors, equal bytes");
    write(&path, &[]).unwrap();
    assert_eq!(read(&path).unwrap(), []);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn files_of_torch_save_are_read() {
    let expected = [
        tensor("matrix", &[2, 3], &[1.5, -2.0, 3.25, 4.0, 5.0, -6.5]),
        tensor("double", &[2], &[0.1, f32::INFINITY]),
        tensor("scalar", &[], &[7.0]),
        tensor("empty", &[0, 3], &[]),
        tensor("tail", &[2], &[4.0, 5.0]),
        tensor("whole", &[6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        tensor("parameter", &[2, 1, 1], &[8.0, 9.0]),
    ];
    assert_eq!(decode(TORCH_SAVE).unwrap(), expected);
}

#[test]
fn elements_are_aligned() {
    let bytes = encode(&tensors()).unwrap();
    let mut zip = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    for index in 0..zip.len() {
        let entry = zip.by_index(index).unwrap();
        assert_eq!(entry.data_start() % u64::from(ALIGNMENT_BYTES), 0, "{}", entry.name());
    }
}

/// No truncation or bit flip causes a panic, and the checksums detect every bit flip in the data.
#[test]
fn damage_is_rejected_or_harmless() {
    for whole in [encode(&tensors()).unwrap(), TORCH_SAVE.to_vec()] {
        let expected = decode(&whole).unwrap();
        for len in 0..whole.len() {
            assert!(decode(&whole[..len]).is_err(), "cut to {len} bytes");
        }
        let mut damaged = whole.clone();
        for byte in 0..whole.len() {
            for bit in 0..8 {
                damaged[byte] ^= 1 << bit;
                if let Ok(tensors) = decode(&damaged) {
                    let same = |(a, b): (&NamedTensor, &NamedTensor)| a.data == b.data;
                    assert!(tensors.iter().zip(&expected).all(same), "bit {bit} of byte {byte}");
                }
                damaged[byte] ^= 1 << bit;
            }
        }
    }
}

/// Without the archive's checksums: the pickle alone, truncated and with every byte set to every
/// value.
#[test]
fn a_damaged_pickle_does_not_panic() {
    let torch_pickle = Archive::open(TORCH_SAVE).unwrap().read("data.pkl").unwrap();
    for whole in [pickled(&tensors()), torch_pickle] {
        assert!(pickle::read(&whole).is_ok());
        for len in 0..whole.len() {
            assert!(pickle::read(&whole[..len]).is_err(), "cut to {len} bytes");
        }
        let mut damaged = whole.clone();
        for byte in 0..whole.len() {
            for value in 0..=255 {
                damaged[byte] = value;
                for (_, tensor) in pickle::read(&damaged).unwrap_or_default() {
                    let mut room = 1_000;
                    let _refused_or_not = elements(&tensor, &[0; 64], &mut room);
                }
            }
            damaged[byte] = whole[byte];
        }
    }
}

#[test]
fn nothing_is_executed() {
    let call = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
    let error = pickle::read(call).unwrap_err().to_string();
    assert_eq!(error, "posix.system does not belong in a dict of float32 or float64 tensors");
    let list = b"\x80\x02].";
    assert_eq!(pickle::read(list).unwrap_err(), pickle::PickleError::Opcode(b']'));
    let text = b"\x80\x02}X\x01\x00\x00\x00aK\x01s.";
    assert_eq!(
        pickle::read(text).unwrap_err().to_string(),
        "the pickle has something else where a tensor is expected"
    );
    // A million nested tuples.
    let mut deep = vec![0x85; 1_000_000];
    deep[0] = b'}';
    assert!(pickle::read(&deep).is_err());
}

#[test]
fn numbers_of_any_width_are_read() {
    let storage = |elements: &[u8]| {
        let mut pickle = b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((".to_vec();
        pickle.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        pickle.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu");
        pickle.extend(elements);
        pickle.extend(b"tQK\x00))\x89NtRs.");
        let read = pickle::read(&pickle).map(|tensors| tensors[0].1.storage.elements);
        read.map_err(|error| error.to_string())
    };
    assert_eq!(storage(b"K\xff"), Ok(255));
    assert_eq!(storage(b"M\x01\x02"), Ok(513));
    assert_eq!(storage(b"J\xff\xff\xff\xff"), Ok(-1));
    assert_eq!(storage(b"\x8a\x00"), Ok(0));
    assert_eq!(storage(b"\x8a\x02\x00\x80"), Ok(-32768));
    assert_eq!(storage(b"\x8a\x05\x00\x00\x00\x00\x01"), Ok(1 << 32));
    assert!(storage(b"\x8a\x09123456789").is_err());
}

#[test]
fn tensors_stay_within_their_data() {
    let stored = |offset, shape: &[i64], strides: &[i64], elements| {
        let storage = pickle::Storage { kind: ElementKind::Float32, key: "0".into(), elements };
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        StoredTensor { storage, offset, shape, strides }
    };
    let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let elements = |tensor| elements(&tensor, &bytes, &mut MAX_ELEMENTS.clone());
    assert_eq!(elements(stored(2, &[2], &[1], 4)), Ok(vec![3.0, 4.0]));
    assert_eq!(elements(stored(0, &[1, 2], &[9, 1], 4)), Ok(vec![1.0, 2.0]));
    assert_eq!(elements(stored(0, &[0, 1 << 62, 4], &[0, 0, 0], 4)), Ok(vec![]));
    for refused in [
        stored(3, &[2], &[1], 4),
        stored(-1, &[2], &[1], 4),
        stored(i64::MAX, &[2], &[1], 4),
        stored(0, &[2], &[1], 5),
        stored(0, &[2], &[1], -4),
        stored(0, &[-1], &[1], 4),
        stored(0, &[1 << 40], &[1], 4),
        stored(0, &[1 << 40, 1 << 40], &[1 << 40, 1], 4),
        stored(0, &[2, 2], &[1, 2], 4),
        stored(0, &[4], &[0], 4),
        stored(0, &[4], &[], 4),
    ] {
        assert!(elements(refused.clone()).is_err(), "{refused:?}");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.pth");
    assert!(matches!(read(&path), Err(StateDictError::Io { path: named, .. }) if named == path));
    fs::write(&path, "not a zip archive").unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: not a state dict", path.display())), "{error}");
    let nowhere = folder.path().join("missing/model.pth");
    assert!(matches!(write(&nowhere, &[]), Err(StateDictError::Io { .. })));
}

#[test]
fn fuzz() {
    let ours = encode(&tensors()).unwrap();
    let whole = [TORCH_SAVE.to_vec(), ours];
    crate::fuzz::fuzz("state dicts", &whole, |bytes| drop(decode(bytes)));
    // A changed record has the wrong checksum, so pickles are also changed by themselves.
    let pickles = whole.map(|bytes| Archive::open(&bytes).unwrap().read("data.pkl").unwrap());
    crate::fuzz::fuzz("pickles", &pickles, |bytes| drop(pickle::read(bytes)));
}
