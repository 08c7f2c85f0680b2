#include "simulated_board.hpp"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace board {

uint32_t SimulatedBoard::now_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint32_t>(now.tv_sec * 1000LL + now.tv_nsec / 1000000);
}

void SimulatedBoard::wait_us(uint32_t duration) {
    if (duration == 0) return;
    timespec left = {static_cast<time_t>(duration / 1000000), static_cast<long>(duration % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

void SimulatedBoard::make_safe() {
    memset(codes_, 0, sizeof codes_);
    memset(pattern_, 0, sizeof pattern_);
    note("safe", "");
}

bool SimulatedBoard::write_outputs(const uint16_t* codes, size_t count) {
    memcpy(codes_, codes, 2 * count);
    patterned_ = false;
    char text[256 * 6 + 1];
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) size += static_cast<size_t>(sprintf(text + size, " %u", codes[i]));
    note("out", text);
    return true;
}

bool SimulatedBoard::write_pattern(const uint8_t* packed, size_t size) {
    memcpy(pattern_, packed, size);
    if (stuck_ >= 0) pattern_[stuck_ / 8] = static_cast<uint8_t>(pattern_[stuck_ / 8] ^ (1 << (stuck_ % 8)));
    patterned_ = true;
    char text[2 * kMaxPayload + 2] = " ";
    for (size_t i = 0; i < size; ++i) sprintf(text + 1 + 2 * i, "%02x", pattern_[i]);
    note("pattern", text);
    return true;
}

bool SimulatedBoard::read_pattern(uint8_t* packed, size_t size) {
    memcpy(packed, pattern_, size);
    return true;
}

void SimulatedBoard::pulse_trigger() { note("trigger", ""); }

bool SimulatedBoard::read_inputs(uint16_t* codes, size_t count, bool& clipped) {
    const int64_t full = (1 << capabilities_.adc_bits) - 1;
    const int64_t middle = capabilities_.dac_bits == 0 ? 0 : 1 << (capabilities_.dac_bits - 1);
    const int64_t sources = patterned_ ? capabilities_.pattern_bits : capabilities_.dac_channels;
    clipped = false;
    for (int64_t j = 0; j < static_cast<int64_t>(count); ++j) {
        int64_t sum = 0;
        for (int64_t i = 0; i < sources; ++i) {
            const int64_t bit = (pattern_[i / 8] >> (i % 8)) & 1;
            const int64_t value = patterned_ ? 64 * (2 * bit - 1) : codes_[i] - middle;
            sum += ((7 * i + 13 * j + i * j) % 17 - 8) * value;
        }
        int64_t code = full / 2 + (sum >> 3) + (((sum >> 6) * (sum >> 6)) >> 4);
        if (code < 0 || code > full) {
            clipped = true;
            code = code < 0 ? 0 : full;
        }
        codes[j] = static_cast<uint16_t>(code);
    }
    return true;
}

void SimulatedBoard::send(const uint8_t* bytes, size_t size) {
    while (size > 0) {
        const ssize_t done = write(line_, bytes, size);
        if (done > 0) {
            bytes += done;
            size -= static_cast<size_t>(done);
        } else if (errno == EAGAIN) {
            pollfd wait = {line_, POLLOUT, 0};
            if (::poll(&wait, 1, 100) <= 0) return;  // nobody reads: a board drops what it can't get rid of
        } else if (errno != EINTR) {
            return;  // nobody is there
        }
    }
}

void SimulatedBoard::note(const char* event, const char* detail) {
    if (log_ < 0) return;
    char line[2 * kMaxPayload + 600];
    const int size = snprintf(line, sizeof line, "%u %s%s\n", now_ms(), event, detail);
    if (size > 0 && write(log_, line, static_cast<size_t>(size)) < 0) return;
}

}  // namespace board
