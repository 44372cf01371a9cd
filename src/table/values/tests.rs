//! Texts and numbers of every type, as arrow-rs's casts give them.

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::Field;

use super::*;

fn texts(array: impl Array + 'static) -> Vec<Option<String>> {
    let array: ArrayRef = Arc::new(array);
    let texts = Texts::new(&array).unwrap();
    (0..array.len()).map(|row| texts.get(row).map(|text| String::from_utf8(text.to_vec()).unwrap())).collect()
}

fn some<const N: usize>(texts: [&str; N]) -> Vec<Option<String>> {
    texts.map(|text| Some(text.to_owned())).to_vec()
}

#[test]
fn texts_and_bytes_are_read_where_they_lie() {
    let values = vec![Some("a"), None, Some("")];
    let expected = vec![Some("a".to_owned()), None, Some(String::new())];
    assert_eq!(texts(StringArray::from(values.clone())), expected);
    assert_eq!(texts(LargeStringArray::from(values.clone())), expected);
    assert_eq!(texts(StringViewArray::from(values.clone())), expected);
    assert_eq!(texts(StringArray::from(values).slice(1, 2)), expected[1..]);
    let bytes: Vec<Option<&[u8]>> = vec![Some(b"\xff"), None];
    for array in [
        Arc::new(BinaryArray::from(bytes.clone())) as ArrayRef,
        Arc::new(LargeBinaryArray::from(bytes.clone())),
        Arc::new(BinaryViewArray::from(bytes)),
    ] {
        let texts = Texts::new(&array).unwrap();
        assert_eq!((texts.get(0), texts.get(1), texts.is_utf8()), (Some(&b"\xff"[..]), None, false));
    }
}

#[test]
fn scalars_have_texts() {
    assert_eq!(
        texts(BooleanArray::from(vec![Some(true), Some(false), None])),
        [some(["true", "false"]), vec![None]].concat()
    );
    assert_eq!(texts(Int8Array::from(vec![i8::MIN])), some(["-128"]));
    assert_eq!(texts(UInt64Array::from(vec![u64::MAX])), some(["18446744073709551615"]));
    let float = [0.1f32, 1.0, -0.0, 1e16, 1e-7, f32::NAN, f32::INFINITY];
    assert_eq!(texts(Float32Array::from(float.to_vec())), some(["0.1", "1.0", "-0.0", "1e16", "1e-7", "NaN", "inf"]));
    assert_eq!(texts(Float64Array::from(vec![1e15, 1e-5])), some(["1000000000000000.0", "0.00001"]));
    assert_eq!(texts(Float16Array::from(vec![half::f16::from_f32(1.5)])), some(["1.5"]));
    let decimal = Decimal128Array::from(vec![12345, -5, 0]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(texts(decimal), some(["123.45", "-0.05", "0.00"]));
    let decimal = Decimal256Array::from(vec![i256::from(7)]).with_precision_and_scale(10, -2).unwrap();
    assert_eq!(texts(decimal), some(["700"]));
    assert_eq!(texts(NullArray::new(2)), [None, None]);
}

#[test]
fn times_are_written_as_in_iso_8601() {
    assert_eq!(texts(Date32Array::from(vec![0, -1])), some(["1970-01-01", "1969-12-31"]));
    assert_eq!(texts(Date64Array::from(vec![86_400_000])), some(["1970-01-02T00:00:00"]));
    assert_eq!(texts(Time32SecondArray::from(vec![3661])), some(["01:01:01"]));
    assert_eq!(texts(Time64NanosecondArray::from(vec![1_500_000_000])), some(["00:00:01.500"]));
    assert_eq!(texts(TimestampMillisecondArray::from(vec![1_500])), some(["1970-01-01T00:00:01.500"]));
    let zoned = TimestampSecondArray::from(vec![0]).with_timezone("+01:00");
    assert_eq!(texts(zoned), some(["1970-01-01T01:00:00+01:00"]));
    let array: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    let error = Texts::new(&array).err().unwrap().to_string();
    assert!(error.contains("9223372036854775807 is not a value of Timestamp"), "{error}");
}

#[test]
fn rows_of_a_dictionary_are_its_values() {
    let keys = Int8Array::from(vec![Some(1), None, Some(0)]);
    let words = DictionaryArray::new(keys.clone(), Arc::new(StringArray::from(vec!["a", "b"])));
    let expected = vec![Some("b".to_owned()), None, Some("a".to_owned())];
    assert_eq!(texts(words.clone()), expected);
    assert_eq!(texts(words.slice(1, 2)), expected[1..]);
    let null_value = DictionaryArray::new(keys.clone(), Arc::new(StringArray::from(vec![None, Some("b")])));
    assert_eq!(texts(null_value), [Some("b".to_owned()), None, None]);
    let empty =
        DictionaryArray::new(Int8Array::from(vec![None, None]), Arc::new(StringArray::from(Vec::<&str>::new())));
    assert_eq!(texts(empty), [None, None]);
    let numbers: ArrayRef = Arc::new(DictionaryArray::new(keys.clone(), Arc::new(Int16Array::from(vec![-1, 7]))));
    assert_eq!(integers(&numbers).unwrap().iter().collect::<Vec<_>>(), [Some(7), None, Some(-1)]);
    assert_eq!(weights(&numbers).unwrap().iter().collect::<Vec<_>>(), [Some(7.0), None, Some(-1.0)]);
    let large: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(UInt64Array::from(vec![u64::MAX, 7]))));
    assert_eq!(unsigned(&large).unwrap().iter().collect::<Vec<_>>(), [Some(7), None, Some(u64::MAX)]);
    assert_eq!(integers(&large).unwrap().iter().collect::<Vec<_>>(), [Some(7), None, None]);
}

#[test]
fn lists_are_joined() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("a"), None, Some("b")]);
    builder.append_null();
    builder.append_value(Vec::<Option<&str>>::new());
    builder.append_value([Some("c")]);
    let lists = builder.finish();
    let expected = vec![Some(["a", "b"].join(LIST_SEPARATOR)), None, Some(String::new()), Some("c".to_owned())];
    assert_eq!(texts(lists.clone()), expected);
    assert_eq!(texts(lists.slice(2, 2)), expected[2..]);
    assert_eq!(texts(ListViewArray::from(lists)), expected);
    let pairs = FixedSizeListArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        2,
        Arc::new(Int32Array::from(vec![1, 2, 3, 4])),
        None,
    );
    assert_eq!(texts(pairs.slice(1, 1)), [Some(["3", "4"].join(LIST_SEPARATOR))]);
    let bytes = GenericListArray::<i32>::new(
        Arc::new(Field::new_list_field(DataType::Binary, true)),
        arrow_buffer::OffsetBuffer::from_lengths([1]),
        Arc::new(BinaryArray::from(vec![&b"\xff"[..]])),
        None,
    );
    assert!(Texts::new(&(Arc::new(bytes) as ArrayRef)).err().unwrap().to_string().contains("not UTF-8"));
}

#[test]
fn numbers_of_every_width() {
    let one = |array: ArrayRef| integers(&array).unwrap().iter().next().unwrap();
    assert_eq!(one(Arc::new(Int8Array::from(vec![-1]))), Some(-1));
    assert_eq!(one(Arc::new(UInt32Array::from(vec![u32::MAX]))), Some(i64::from(u32::MAX)));
    assert_eq!(one(Arc::new(UInt64Array::from(vec![u64::MAX]))), None);
    assert_eq!(one(Arc::new(Date32Array::from(vec![-3]))), Some(-3));
    assert_eq!(one(Arc::new(TimestampNanosecondArray::from(vec![5]).with_timezone("UTC"))), Some(5));
    let one = |array: ArrayRef| weights(&array).unwrap().iter().next().unwrap();
    assert_eq!(one(Arc::new(Float64Array::from(vec![1e300]))), Some(f32::INFINITY));
    assert_eq!(one(Arc::new(BooleanArray::from(vec![true]))), Some(1.0));
    assert_eq!(one(Arc::new(StringArray::from(vec![" 2.5 "]))), Some(2.5));
    assert_eq!(one(Arc::new(StringArray::from(vec!["two"]))), None);
    let price = Decimal64Array::from(vec![1995]).with_precision_and_scale(6, 2).unwrap();
    assert_eq!(one(Arc::new(price)), Some(19.95));
    let array: ArrayRef = Arc::new(Date32Array::from(vec![0]));
    assert!(weights(&array).unwrap_err().to_string().contains("Date32 cannot be read as numbers"));
    let array: ArrayRef = Arc::new(Float16Array::from(vec![half::f16::from_f32(0.5)]));
    assert_eq!(floats(&array).unwrap().value(0), 0.5);
}
