//! Gorilla XOR chunks, decoded: the samples of a float series (tsdb/chunkenc/xor.go).

use super::varint::Cursor;

/// Prometheus writes this NaN where a series ended; PromQL does not count it.
pub(super) const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A sample: time in Unix milliseconds, and the bits of the value.
pub(super) type Sample = (i64, u64);

/// The samples of an XOR chunk's data; nothing where the data end early.
pub(super) fn decode(data: &[u8]) -> Option<Vec<Sample>> {
    let mut cursor = Cursor(data);
    let count = usize::from(u16::from_be_bytes(cursor.bytes(2)?.try_into().ok()?));
    let mut samples = Vec::with_capacity(count);
    if count == 0 {
        return Some(samples);
    }
    let mut time = cursor.varint()?;
    let mut value = u64::from_be_bytes(cursor.bytes(8)?.try_into().ok()?);
    samples.push((time, value));
    if count == 1 {
        return Some(samples);
    }
    let mut delta = cursor.uvarint()?.cast_signed();
    let mut bits = Bits { bytes: cursor.0, at: 0 };
    let mut window = Window { leading: 0, trailing: 0 };
    loop {
        time = time.checked_add(delta)?;
        value = window.value(value, &mut bits)?;
        samples.push((time, value));
        if samples.len() == count {
            return Some(samples);
        }
        delta = delta.wrapping_add(delta_of_delta(&mut bits)?);
    }
}

/// Which bits of the XOR of two values are written.
struct Window {
    leading: u32,
    trailing: u32,
}

impl Window {
    fn value(&mut self, before: u64, bits: &mut Bits<'_>) -> Option<u64> {
        if !bits.bit()? {
            return Some(before);
        }
        if bits.bit()? {
            self.leading = u32::try_from(bits.read(5)?).ok()?;
            let significant = match u32::try_from(bits.read(6)?).ok()? {
                0 => 64,
                n => n,
            };
            self.trailing = 64_u32.checked_sub(self.leading + significant)?;
        }
        let significant = 64 - self.leading - self.trailing;
        Some(before ^ (bits.read(significant)? << self.trailing))
    }
}

fn delta_of_delta(bits: &mut Bits<'_>) -> Option<i64> {
    let mut size = 0;
    for wider in [14, 17, 20, 64] {
        if !bits.bit()? {
            break;
        }
        size = wider;
    }
    let raw = match size {
        0 => return Some(0),
        64 => return Some(bits.read(64)?.cast_signed()),
        size => bits.read(size)?.cast_signed(),
    };
    Some(if raw > 1 << (size - 1) { raw - (1 << size) } else { raw })
}

/// Reads bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn read(&mut self, n: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..n {
            value = value << 1 | u64::from(self.bit()?);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_stands_plain() {
        let mut data = vec![0, 1, 0x14];
        data.extend(1.5_f64.to_bits().to_be_bytes());
        assert_eq!(decode(&data), Some(vec![(10, 1.5_f64.to_bits())]));
    }

    #[test]
    fn equal_values_at_equal_steps_cost_two_bits() {
        let mut data = vec![0, 4, 0x14];
        data.extend(1.5_f64.to_bits().to_be_bytes());
        data.push(5);
        // same value; then twice: no change of the step, same value
        data.push(0);
        let times: Vec<i64> = decode(&data).unwrap().iter().map(|s| s.0).collect();
        assert_eq!(times, [10, 15, 20, 25]);
    }

    #[test]
    fn data_that_end_early_are_nothing() {
        assert_eq!(decode(&[0, 2, 0x14, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(decode(&[0]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
