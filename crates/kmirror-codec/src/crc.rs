//! Carrying a CRC-32C over a change of the bytes in front.
//!
//! A CRC is linear: for `a` and `b` of one length, `crc(a ++ tail) ^ crc(b ++ tail)` depends on the tail only by its
//! length. It is `crc(a) ^ crc(b)` moved over that many zero bytes, which is a multiplication by x^(8·length) modulo
//! the polynomial. Four multiplications by powers from a table do it for any length below 4 GiB.

/// The checksum of `new_head ++ tail`, from that of `old_head ++ tail`. The heads are of one length; the tail is not
/// read.
pub(crate) fn carry(crc: u32, old_head: &[u8], new_head: &[u8], tail_bytes: usize) -> u32 {
    debug_assert_eq!(old_head.len(), new_head.len());
    crc ^ shift(crc32c::crc32c(old_head) ^ crc32c::crc32c(new_head), tail_bytes)
}

fn shift(crc: u32, zero_bytes: usize) -> u32 {
    // The length of a batch is an i32, so the four low bytes are all of it.
    let [first, second, third, fourth] = (zero_bytes as u32).to_le_bytes();
    debug_assert!(u32::try_from(zero_bytes).is_ok());
    [first, second, third, fourth].into_iter().zip(&POWERS).fold(crc, |crc, (digit, powers)| {
        match powers.get(usize::from(digit)) {
            Some(power) if digit != 0 => multiply(crc, *power),
            _ => crc,
        }
    })
}

/// Product modulo the polynomial. Bits are reflected, as everywhere in CRC-32C: the highest bit is x^0.
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut power = b;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= power & 0_u32.wrapping_sub((a >> bit) & 1);
        power = (power >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(power & 1));
    }
    product
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where going beyond the end is an error"
)]
const fn powers() -> [[u32; 256]; 4] {
    let mut table = [[ONE; 256]; 4];
    let mut base = ONE >> 8; // x^8: one zero byte
    let mut position = 0;
    while position < 4 {
        let mut digit = 1;
        while digit < 256 {
            table[position][digit] = multiply(table[position][digit - 1], base);
            digit += 1;
        }
        base = multiply(table[position][255], base);
        position += 1;
    }
    table
}

const ONE: u32 = 1 << 31;
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `POWERS[p][d]` is x^(8·d·256^p).
static POWERS: [[u32; 256]; 4] = powers();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_over_zero_bytes_is_hashing_them() {
        // Two heads of one length, so that initial value and final complement cancel out.
        for zero_bytes in [0, 1, 2, 255, 256, 257, 65_535, 65_536, 100_000, 1 << 24] {
            let tail = vec![0; zero_bytes];
            let hashed = crc32c::crc32c_append(crc32c::crc32c(b"one"), &tail);
            let old = crc32c::crc32c_append(crc32c::crc32c(b"two"), &tail);
            assert_eq!(carry(old, b"two", b"one", zero_bytes), hashed, "{zero_bytes}");
        }
    }

    #[test]
    fn agrees_with_combining_at_the_largest_length() {
        let zero_bytes = 0x7fff_ffff;
        let combined = |head: &[u8]| crc32c::crc32c_combine(crc32c::crc32c(head), 0, zero_bytes);
        assert_eq!(carry(combined(b"two"), b"two", b"one", zero_bytes), combined(b"one"));
    }
}
