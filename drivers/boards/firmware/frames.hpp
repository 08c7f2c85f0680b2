// Frames on a serial line: COBS(version | type | sequence | length | payload | CRC32) followed by 0x00.
//
// All numbers are little endian. The CRC is that of IEEE 802.3 (as zlib's crc32) over everything before it. A byte 0x00
// never occurs inside a frame, so that a receiver that lost its place finds it again at the next one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace board {

constexpr uint8_t kVersion = 1;
constexpr size_t kMaxPayload = 512;
constexpr size_t kHeader = 8;  // version 1, type 1, sequence 4, length 2
constexpr size_t kMaxFrame = kHeader + kMaxPayload + 4;
constexpr size_t kMaxEncoded = kMaxFrame + kMaxFrame / 254 + 2;  // COBS overhead and the delimiter

struct Frame {
    uint8_t version = 0;
    uint8_t type = 0;
    uint32_t sequence = 0;
    uint16_t length = 0;
    uint8_t payload[kMaxPayload] = {};
};

enum class Decoded : uint8_t { kNothing, kFrame, kBadCobs, kBadCrc, kOversize };

uint32_t crc32(const uint8_t* data, size_t size, uint32_t crc = 0);

uint16_t get16(const uint8_t* from);
uint32_t get32(const uint8_t* from);
void put16(uint8_t* to, uint16_t value);
void put32(uint8_t* to, uint32_t value);

// Writes the encoded frame with its delimiter to `out`, which holds kMaxEncoded bytes, and returns its size.
size_t encode(uint8_t version, uint8_t type, uint32_t sequence, const uint8_t* payload, size_t length, uint8_t* out);

// Takes one byte at a time; needs no more memory however long a line of rubbish is.
class Decoder {
  public:
    Decoded feed(uint8_t byte, Frame& frame);

  private:
    Decoded finish(Frame& frame);

    uint8_t bytes_[kMaxFrame] = {};
    size_t size_ = 0;
    uint8_t left_ = 0;         // data bytes left in the current COBS block
    bool zero_due_ = false;    // the block before ended in a zero that the encoder took out
    bool started_ = false;
    bool oversize_ = false;
};

}  // namespace board
