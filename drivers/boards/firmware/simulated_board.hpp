// A board without hardware: outputs feed inputs through a fixed nonlinear function of integers, and every change of an
// output is written to a file, so that a test can see what the outputs did and when.
#pragma once

#include <cstddef>
#include <cstdint>

#include "board.hpp"
#include "frames.hpp"

namespace board {

class SimulatedBoard final : public Board {
  public:
    SimulatedBoard(const Capabilities& capabilities, int line, int log)
        : capabilities_(capabilities), line_(line), log_(log) {}

    const Capabilities& capabilities() const override { return capabilities_; }
    uint32_t now_ms() override;
    void wait_us(uint32_t duration) override;
    void make_safe() override;
    bool write_outputs(const uint16_t* codes, size_t count) override;
    bool write_pattern(const uint8_t* packed, size_t size) override;
    bool read_pattern(uint8_t* packed, size_t size) override;
    void pulse_trigger() override;
    bool read_inputs(uint16_t* codes, size_t count, bool& clipped) override;
    void send(const uint8_t* bytes, size_t size) override;

    // Flips an element when a pattern is latched, as a broken driver does; -1 for none.
    void stick(int element) { stuck_ = element; }

  private:
    void note(const char* event, const char* detail);

    const Capabilities& capabilities_;
    int line_, log_;
    int stuck_ = -1;
    uint16_t codes_[256] = {};
    uint8_t pattern_[kMaxPayload] = {};
    bool patterned_ = false;  // what was played last: a pattern, or codes
};

}  // namespace board
