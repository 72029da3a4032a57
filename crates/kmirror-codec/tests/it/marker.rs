use kmirror_codec::{
    Attributes, Batch, BatchBuilder, Compression, Marker, NewRecord, Workspace, parse_marker,
};

fn control_batch(key: &[u8], value: Option<&[u8]>) -> Batch {
    let mut builder = BatchBuilder::new(5);
    builder.attributes(Attributes::default().with_control(true).with_transactional(true));
    builder.push(&NewRecord { offset: 5, timestamp: 0, key: Some(key), value, headers: &[] }).unwrap();
    builder.build(Compression::None, &mut Workspace::new()).unwrap()
}

#[test]
fn commit_and_abort() {
    let value = [0, 0, 0, 0, 0, 7];
    for (kind, commit) in [(0, false), (1, true)] {
        let batch = control_batch(&[0, 0, 0, kind], Some(&value));
        assert_eq!(parse_marker(&batch), Ok(Some(Marker { commit, coordinator_epoch: 7 })));
    }
}

#[test]
fn later_versions_are_read_alike() {
    let batch = control_batch(&[0, 9, 0, 1, 55], Some(&[0, 9, 0, 0, 0, 7, 1, 2, 3]));
    assert_eq!(parse_marker(&batch), Ok(Some(Marker { commit: true, coordinator_epoch: 7 })));
}

#[test]
fn what_is_no_marker() {
    assert_eq!(parse_marker(&crate::support::dense(0, 1, Compression::None)), Ok(None));
    assert_eq!(parse_marker(&control_batch(&[0, 0, 0, 2], Some(&[]))), Ok(None));
    let mut emptied = BatchBuilder::new(5);
    emptied.attributes(Attributes::default().with_control(true));
    assert_eq!(parse_marker(&emptied.build(Compression::None, &mut Workspace::new()).unwrap()), Ok(None));
}

#[test]
fn broken_markers_are_errors() {
    assert!(parse_marker(&control_batch(&[0, 0, 0], Some(&[0, 0, 0, 0, 0, 7]))).is_err());
    assert!(parse_marker(&control_batch(&[0xff, 0xff, 0, 1], Some(&[0, 0, 0, 0, 0, 7]))).is_err());
    assert!(parse_marker(&control_batch(&[0, 0, 0, 1], Some(&[0, 0, 0, 0, 0]))).is_err());
    assert!(parse_marker(&control_batch(&[0, 0, 0, 1], None)).is_err());
}
