#include "frames.hpp"

namespace board {

namespace {

// Four bits at a time: 64 bytes of table instead of 1 kB.
constexpr uint32_t kTable[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                 0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};

}  // namespace

uint32_t crc32(const uint8_t* data, size_t size, uint32_t crc) {
    crc = ~crc;
    for (size_t i = 0; i < size; ++i) {
        crc ^= data[i];
        crc = (crc >> 4) ^ kTable[crc & 15];
        crc = (crc >> 4) ^ kTable[crc & 15];
    }
    return ~crc;
}

uint16_t get16(const uint8_t* from) { return static_cast<uint16_t>(from[0] | (from[1] << 8)); }

uint32_t get32(const uint8_t* from) { return get16(from) | (static_cast<uint32_t>(get16(from + 2)) << 16); }

void put16(uint8_t* to, uint16_t value) {
    to[0] = static_cast<uint8_t>(value);
    to[1] = static_cast<uint8_t>(value >> 8);
}

void put32(uint8_t* to, uint32_t value) {
    put16(to, static_cast<uint16_t>(value));
    put16(to + 2, static_cast<uint16_t>(value >> 16));
}

size_t encode(uint8_t version, uint8_t type, uint32_t sequence, const uint8_t* payload, size_t length, uint8_t* out) {
    if (length > kMaxPayload) length = kMaxPayload;
    uint8_t header[kHeader] = {version, type};
    put32(header + 2, sequence);
    put16(header + 6, static_cast<uint16_t>(length));
    uint8_t tail[4];
    put32(tail, crc32(payload, length, crc32(header, kHeader)));

    size_t code_at = 0, size = 1;
    uint8_t code = 1;
    const size_t total = kHeader + length + 4;
    for (size_t i = 0; i < total; ++i) {
        const uint8_t byte = i < kHeader            ? header[i]
                             : i < kHeader + length ? payload[i - kHeader]
                                                    : tail[i - kHeader - length];
        if (byte != 0) {
            out[size++] = byte;
            ++code;
        }
        // a full block with nothing after it needs no further code
        if (byte == 0 || (code == 0xFF && i + 1 < total)) {
            out[code_at] = code;
            code_at = size++;
            code = 1;
        }
    }
    out[code_at] = code;
    out[size++] = 0;
    return size;
}

Decoded Decoder::feed(uint8_t byte, Frame& frame) {
    if (byte == 0) {
        const Decoded result = finish(frame);
        size_ = 0;
        left_ = 0;
        zero_due_ = started_ = oversize_ = false;
        return result;
    }
    if (oversize_) return Decoded::kNothing;
    if (left_ == 0) {  // a code byte
        if (zero_due_) {
            if (size_ == kMaxFrame) oversize_ = true;
            else bytes_[size_++] = 0;
        }
        left_ = static_cast<uint8_t>(byte - 1);
        zero_due_ = byte != 0xFF;
        started_ = true;
        return Decoded::kNothing;
    }
    --left_;
    if (size_ == kMaxFrame) oversize_ = true;
    else bytes_[size_++] = byte;
    return Decoded::kNothing;
}

Decoded Decoder::finish(Frame& frame) {
    if (!started_) return Decoded::kNothing;  // two delimiters in a row
    if (oversize_) return Decoded::kOversize;
    if (left_ != 0 || size_ < kHeader + 4) return Decoded::kBadCobs;
    if (crc32(bytes_, size_ - 4) != get32(bytes_ + size_ - 4)) return Decoded::kBadCrc;
    const uint16_t length = get16(bytes_ + 6);
    if (length > kMaxPayload || kHeader + length + 4 != size_) return Decoded::kBadCrc;
    frame.version = bytes_[0];
    frame.type = bytes_[1];
    frame.sequence = get32(bytes_ + 2);
    frame.length = length;
    for (size_t i = 0; i < length; ++i) frame.payload[i] = bytes_[kHeader + i];
    return Decoded::kFrame;
}

}  // namespace board
