#include "protocol.hpp"

namespace board {

void Protocol::start() {
    board_.make_safe();
    watchdog_ms_ = board_.capabilities().watchdog_ms;
    heard_ms_ = board_.now_ms();
}

void Protocol::receive(const uint8_t* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        switch (decoder_.feed(bytes[i], incoming_)) {
            case Decoded::kNothing: break;
            case Decoded::kFrame: accept(); break;
            case Decoded::kBadCobs: ++bad_cobs_; break;
            case Decoded::kBadCrc: ++bad_crc_; break;
            case Decoded::kOversize: ++oversize_; break;
        }
    }
}

void Protocol::poll() {
    // The difference is right across the wrap of the clock.
    if (state_ == State::kArmed && used_ == 0 && board_.now_ms() - heard_ms_ > watchdog_ms_) {
        board_.make_safe();
        state_ = State::kTripped;
        applied_crc_ = 0;
        ++trips_;
    }
    if (used_ == 0) return;
    execute(slots_[first_]);
    first_ = (first_ + 1) % kSlots;
    --used_;
    // Work that the host was promised is no silence: without this, slow settling of a full queue would trip it.
    heard_ms_ = board_.now_ms();
}

void Protocol::accept() {
    ++frames_;
    if (incoming_.version != version_) {
        refuse(incoming_, Error::kVersion);
        return;
    }
    heard_ms_ = board_.now_ms();
    // At once, ahead of whatever is queued: the rows behind it then find the board safe and are refused.
    if (incoming_.type == kSafe) {
        safe(incoming_.sequence);
        return;
    }
    if (used_ == kSlots) {
        ++overflow_;
        refuse(incoming_, Error::kOverflow);
        return;
    }
    slots_[(first_ + used_) % kSlots] = incoming_;
    ++used_;
    if (used_ > peak_) peak_ = used_;
}

void Protocol::execute(const Frame& frame) {
    switch (frame.type) {
        case kIdentify: identify(frame.sequence); break;
        case kStatus: status(frame.sequence); break;
        case kArm: arm(frame); break;
        case kPlay:
        case kPattern: play(frame); break;
        case kReadBack: read_back(frame.sequence); break;
        default: refuse(frame, Error::kUnknownType);
    }
}

void Protocol::identify(uint32_t sequence) {
    // A host that introduces itself knows nothing of what the one before left on.
    board_.make_safe();
    state_ = State::kSafe;
    applied_crc_ = 0;
    last_ = sequence;
    const Capabilities& c = board_.capabilities();
    uint8_t out[50 + 33] = {version_, kFirmware[0], kFirmware[1], kFirmware[2]};
    out[4] = static_cast<uint8_t>((c.simulated ? 1 : 0) | (c.trigger ? 2 : 0));
    for (size_t i = 0; i < 8; ++i) out[6 + i] = c.unique_id[i];
    put16(out + 14, c.dac_channels);
    out[16] = c.dac_bits;
    out[17] = c.adc_bits;
    put16(out + 18, c.adc_channels);
    put16(out + 20, c.pattern_bits);
    put16(out + 22, kCredits);
    put16(out + 24, kMaxPayload);
    put32(out + 26, c.watchdog_ms);
    put32(out + 30, c.max_settle_us);
    const int32_t volts[4] = {c.dac_low_uv, c.dac_high_uv, c.adc_low_uv, c.adc_high_uv};
    for (size_t i = 0; i < 4; ++i) put32(out + 34 + 4 * i, static_cast<uint32_t>(volts[i]));
    size_t size = 51;
    for (const char* s = c.name; *s != 0 && size < 51 + 32; ++s) out[size++] = static_cast<uint8_t>(*s);
    out[50] = static_cast<uint8_t>(size - 51);
    reply(kIdentify, sequence, out, size);
}

void Protocol::status(uint32_t sequence) {
    uint8_t out[40] = {static_cast<uint8_t>(state_), static_cast<uint8_t>(peak_)};
    put16(out + 2, static_cast<uint16_t>(kSlots - used_));
    const uint32_t counts[9] = {frames_, bad_crc_, bad_cobs_, oversize_, overflow_, stale_, trips_, rows_,
                                board_.now_ms()};
    for (size_t i = 0; i < 9; ++i) put32(out + 4 + 4 * i, counts[i]);
    reply(kStatus, sequence, out, sizeof out);
}

void Protocol::arm(const Frame& frame) {
    if (!fresh(frame)) return;
    if (frame.length != 8) return refuse(frame, Error::kBadLength);
    const Capabilities& c = board_.capabilities();
    const uint32_t settle = get32(frame.payload);
    const uint32_t watchdog = get32(frame.payload + 4);
    if (settle > c.max_settle_us || watchdog < 1 || watchdog > c.watchdog_ms) return refuse(frame, Error::kOutOfRange);
    settle_us_ = settle;
    watchdog_ms_ = watchdog;
    state_ = State::kArmed;
    heard_ms_ = board_.now_ms();
    reply(kArm, frame.sequence, frame.payload, 8);
}

void Protocol::safe(uint32_t sequence) {
    board_.make_safe();
    state_ = State::kSafe;
    applied_crc_ = 0;
    const uint8_t out[1] = {static_cast<uint8_t>(state_)};
    reply(kSafe, sequence, out, 1);
}

bool Protocol::apply(const Frame& frame, uint32_t& crc, Error& why) {
    const Capabilities& c = board_.capabilities();
    why = Error::kBadLength;
    if (frame.type == kPlay) {
        const size_t count = c.dac_channels;
        if (count == 0 || count > kMaxChannels || frame.length != 2 * count) return false;
        for (size_t i = 0; i < count; ++i) {
            codes_[i] = get16(frame.payload + 2 * i);
            if (codes_[i] >> c.dac_bits != 0) {
                why = Error::kOutOfRange;
                return false;
            }
        }
        why = Error::kHardware;
        crc = crc32(frame.payload, frame.length);
        return board_.write_outputs(codes_, count);
    }
    const size_t bytes = (c.pattern_bits + 7u) / 8u;
    if (bytes == 0 || frame.length != bytes) return false;
    why = Error::kHardware;
    if (!board_.write_pattern(frame.payload, bytes) || !board_.read_pattern(pattern_, bytes)) return false;
    crc = crc32(pattern_, bytes);
    board_.pulse_trigger();
    return true;
}

void Protocol::play(const Frame& frame) {
    if (!fresh(frame)) return;
    if (state_ != State::kArmed) {
        return refuse(frame, state_ == State::kTripped ? Error::kTripped : Error::kNotArmed);
    }
    Error why;
    if (!apply(frame, applied_crc_, why)) return refuse(frame, why);
    board_.wait_us(settle_us_);
    const size_t count = board_.capabilities().adc_channels;
    bool clipped = false;
    if (count > kMaxChannels || !board_.read_inputs(codes_, count, clipped)) return refuse(frame, Error::kHardware);
    uint8_t out[5 + 2 * kMaxChannels];
    put32(out, applied_crc_);
    out[4] = clipped ? 1 : 0;
    for (size_t i = 0; i < count; ++i) put16(out + 5 + 2 * i, codes_[i]);
    ++rows_;
    reply(frame.type, frame.sequence, out, 5 + 2 * count);
}

void Protocol::read_back(uint32_t sequence) {
    const size_t bytes = (board_.capabilities().pattern_bits + 7u) / 8u;
    uint8_t out[5] = {static_cast<uint8_t>(state_)};
    put32(out + 1, bytes != 0 && bytes <= kMaxPayload && board_.read_pattern(pattern_, bytes) ? crc32(pattern_, bytes) : applied_crc_);
    reply(kReadBack, sequence, out, sizeof out);
}

bool Protocol::fresh(const Frame& frame) {
    // Repeated or overtaken by a newer one on the way: playing it now would be a row that nobody counts.
    if (static_cast<int32_t>(frame.sequence - last_) <= 0) {
        ++stale_;
        refuse(frame, Error::kStale);
        return false;
    }
    last_ = frame.sequence;
    return true;
}

void Protocol::reply(uint8_t type, uint32_t sequence, const uint8_t* payload, size_t size) {
    board_.send(encoded_, encode(version_, static_cast<uint8_t>(type | kReply), sequence, payload, size, encoded_));
}

void Protocol::refuse(const Frame& frame, Error why) {
    const uint8_t out[3] = {static_cast<uint8_t>(why), static_cast<uint8_t>(state_), frame.type};
    board_.send(encoded_, encode(version_, kError, frame.sequence, out, sizeof out, encoded_));
}

}  // namespace board
