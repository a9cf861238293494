//! Gorilla XOR chunks, encoded as Prometheus does (tsdb/chunkenc/xor.go).

/// A sample: Unix milliseconds and a value.
pub(crate) type Sample = (i64, f64);

/// Samples that Prometheus puts into one chunk.
pub(crate) const PER_CHUNK: usize = 120;

/// Encodes the samples, at most 65,535, into `out`, which is emptied first.
pub(crate) fn encode(samples: &[Sample], out: &mut Vec<u8>) {
    out.clear();
    out.extend((samples.len() as u16).to_be_bytes());
    let mut bits = Bits { out, pending: 0, free: 64 };
    let (mut time, mut value, mut delta) = (0_i64, 0_u64, 0_i64);
    let mut window = None;
    for (n, (at, sample)) in samples.iter().enumerate() {
        let step = at - time;
        match n {
            0 => varint(*at, bits.out),
            1 => uvarint(step.cast_unsigned(), bits.out),
            _ => bits.delta_of_delta(step - delta),
        }
        let raw = sample.to_bits();
        if n == 0 {
            bits.out.extend(raw.to_be_bytes());
        } else {
            bits.value(value ^ raw, &mut window);
        }
        (time, value, delta) = (*at, raw, step);
    }
    bits.finish();
}

/// Unsigned LEB128.
pub(crate) fn uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed LEB128 in zigzag form.
pub(crate) fn varint(value: i64, out: &mut Vec<u8>) {
    uvarint((value << 1 ^ value >> 63).cast_unsigned(), out);
}

/// Writes bits, the highest of each byte first. Whole bytes may be added to `out` only before the first bit.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    free: u32,
}

impl Bits<'_> {
    /// Writes the lowest `n` bits, 1 to 64, of a value that has no others.
    fn write(&mut self, value: u64, n: u32) {
        if n < self.free {
            self.free -= n;
            self.pending |= value << self.free;
            return;
        }
        let rest = n - self.free;
        self.pending |= value >> rest;
        self.out.extend(self.pending.to_be_bytes());
        self.free = 64 - rest;
        self.pending = if rest == 0 { 0 } else { value << self.free };
    }

    fn delta_of_delta(&mut self, change: i64) {
        let fits = |bits: u32| change > -(1 << (bits - 1)) && change <= 1 << (bits - 1);
        let low = |bits: u32| change.cast_unsigned() & ((1 << bits) - 1);
        match change {
            0 => self.write(0b0, 1),
            _ if fits(14) => self.write(0b10 << 14 | low(14), 16),
            _ if fits(17) => self.write(0b110 << 17 | low(17), 20),
            _ if fits(20) => self.write(0b1110 << 20 | low(20), 24),
            _ => {
                self.write(0b1111, 4);
                self.write(change.cast_unsigned(), 64);
            }
        }
    }

    /// `window` is how many bits lead and trail the ones that are written.
    fn value(&mut self, xor: u64, window: &mut Option<(u32, u32)>) {
        if xor == 0 {
            return self.write(0, 1);
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if let Some((lead, trail)) = *window
            && leading >= lead
            && trailing >= trail
        {
            self.write(0b10, 2);
            return self.write(xor >> trail, 64 - lead - trail);
        }
        *window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        self.write(u64::from(0b11 << 11 | leading << 6 | significant & 63), 13);
        self.write(xor >> trailing, significant);
    }

    fn finish(self) {
        let used = (64 - self.free).div_ceil(8) as usize;
        self.out.extend(&self.pending.to_be_bytes()[..used]);
    }
}
