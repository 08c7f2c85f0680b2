// What the protocol needs of a board: outputs, inputs, a clock and a line. Port it by implementing this class.
#pragma once

#include <cstddef>
#include <cstdint>

namespace board {

struct Capabilities {
    bool simulated = false;     // true: no real outputs; the host then refuses to call its responses measured
    uint8_t unique_id[8] = {};  // the same after every reset, and no two boards share it
    uint16_t dac_channels = 0;
    uint8_t dac_bits = 0;       // codes are 0 to 2^bits - 1, at most 16 bits
    uint16_t adc_channels = 0;
    uint8_t adc_bits = 0;
    uint16_t pattern_bits = 0;  // switchable elements of a metasurface; 0 for none
    bool trigger = false;       // has a trigger output
    uint32_t watchdog_ms = 500;
    uint32_t max_settle_us = 100000;
    int32_t dac_low_uv = 0, dac_high_uv = 0;  // output at code 0 and at the largest code, in uV
    int32_t adc_low_uv = 0, adc_high_uv = 0;  // input that reads code 0 and the largest code, in uV
    const char* name = "";      // at most 32 characters
};

class Board {
  public:
    virtual const Capabilities& capabilities() const = 0;
    virtual uint32_t now_ms() = 0;
    virtual void wait_us(uint32_t duration) = 0;
    // Brings every output to its safe level, at once. Called at start, by the watchdog and by the host. Must not fail.
    virtual void make_safe() = 0;
    // Sets all DAC channels together.
    virtual bool write_outputs(const uint16_t* codes, size_t count) = 0;
    // Shifts out a pattern, first element in bit 0 of byte 0, and latches all of it together.
    virtual bool write_pattern(const uint8_t* packed, size_t size) = 0;
    // Reads back what is latched now, not what was asked for. A board without read-back returns false.
    virtual bool read_pattern(uint8_t* packed, size_t size) = 0;
    virtual void pulse_trigger() = 0;
    // Reads all ADC channels; sets `clipped` if the converter says that it left its range.
    virtual bool read_inputs(uint16_t* codes, size_t count, bool& clipped) = 0;
    virtual void send(const uint8_t* bytes, size_t size) = 0;

  protected:
    ~Board() = default;
};

}  // namespace board
