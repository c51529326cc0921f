//! Pictures made by hand.

/// The beginning of a PNG of this size, which is all that a decoder needs to refuse it.
pub(crate) fn png_header(width: u32, height: u32) -> Vec<u8> {
    // An empty deflate stream.
    png(width, height, &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1])
}

/// A small grey PNG with these levels.
pub(crate) fn grey_png(width: u32, height: u32, levels: &[u8]) -> Vec<u8> {
    // A row begins with its filter: none.
    let rows = levels.chunks_exact(width as usize);
    let rows: Vec<u8> = rows.flat_map(|row| [&[0], row].concat()).collect();
    let length = rows.len() as u16;
    // One block, not compressed.
    let mut deflated = vec![0x78, 0x01, 0x01];
    deflated.extend(length.to_le_bytes());
    deflated.extend((!length).to_le_bytes());
    deflated.extend(&rows);
    deflated.extend(adler32(&rows).to_be_bytes());
    png(width, height, &deflated)
}

fn png(width: u32, height: u32, deflated: &[u8]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // 8 bits of grey, deflate, no filter, not interlaced.
    header.extend([8, 0, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", deflated);
    chunk(&mut png, b"IEND", &[]);
    png
}

fn adler32(bytes: &[u8]) -> u32 {
    let step = |(a, b): (u32, u32), byte: &u8| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    };
    let (a, b) = bytes.iter().fold((1, 0), step);
    b << 16 | a
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let body = [kind, data].concat();
    png.extend(&body);
    png.extend(crc32(&body).to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}

/// A grey JPEG of 8 by 8 pixels. Its Huffman tables have one code each: no difference, and end of
/// block.
pub(crate) fn grey_jpeg() -> Vec<u8> {
    let table = |class: u8| {
        let mut table = vec![0xff, 0xc4, 0, 20, class, 1];
        table.extend([0; 16]);
        table
    };
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    jpeg.extend([1; 64]);
    jpeg.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    jpeg.extend(table(0x00));
    jpeg.extend(table(0x10));
    jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    jpeg.extend([0x3f, 0xff, 0xd9]);
    jpeg
}
