// The firmware on an RP2040 (Raspberry Pi Pico) with the Arduino-Pico core. Tried on the host only: the protocol that it
// runs is the tested one, the lines in this file have never met a board. Check each output with a meter before you
// connect anything to it.
//
// Outputs: two MCP4922 on SPI0 (4 channels of 12 bits, 0 to 3.3 V) and 74HC595 shift registers on SPI1 whose last
// register's serial output comes back for the read-back. Inputs: the three ADC pins of the RP2040, 12 bits.
#if defined(ARDUINO_ARCH_RP2040)

#include <Arduino.h>
#include <SPI.h>
#include <pico/unique_id.h>

#include "protocol.hpp"

namespace {

constexpr uint8_t kDacSelect[2] = {17, 20};
constexpr uint8_t kDacLatch = 21;      // LDAC of both, low for a moment: all channels change together
constexpr uint8_t kDacShutdown = 22;   // SHDN of both with a pull-down: outputs are off before this program runs
constexpr uint8_t kPatternLatch = 13;  // RCLK of the shift registers
constexpr uint8_t kPatternOff = 14;    // OE with a pull-up: high switches every element off
constexpr uint8_t kTrigger = 15;
constexpr uint8_t kInputs[3] = {A0, A1, A2};
constexpr uint16_t kElements = 64;
constexpr size_t kPatternBytes = (kElements + 7) / 8;
const SPISettings kDacBus(10000000, MSBFIRST, SPI_MODE0);
const SPISettings kPatternBus(4000000, MSBFIRST, SPI_MODE0);

class Pico final : public board::Board {
  public:
    void begin() {
        for (uint8_t pin : {kDacSelect[0], kDacSelect[1], kDacLatch, kPatternOff}) {
            digitalWrite(pin, HIGH);
            pinMode(pin, OUTPUT);
        }
        for (uint8_t pin : {kDacShutdown, kPatternLatch, kTrigger}) {
            digitalWrite(pin, LOW);
            pinMode(pin, OUTPUT);
        }
        SPI.begin();
        SPI1.begin();
        analogReadResolution(12);
        pico_unique_board_id_t id;
        pico_get_unique_board_id(&id);
        for (size_t i = 0; i < 8; ++i) capabilities_.unique_id[i] = id.id[i];
        capabilities_.dac_channels = 4;
        capabilities_.dac_bits = 12;
        capabilities_.adc_channels = 3;
        capabilities_.adc_bits = 12;
        capabilities_.pattern_bits = kElements;
        capabilities_.trigger = true;
        capabilities_.dac_high_uv = capabilities_.adc_high_uv = 3300000;
        capabilities_.name = "rp2040 4 DAC, 3 ADC, 64 bits";
    }

    const board::Capabilities& capabilities() const override { return capabilities_; }
    uint32_t now_ms() override { return millis(); }
    void wait_us(uint32_t duration) override { delayMicroseconds(duration); }

    void make_safe() override {
        digitalWrite(kPatternOff, HIGH);
        const uint16_t zeros[4] = {};
        set_outputs(zeros);
        digitalWrite(kDacShutdown, LOW);
        const uint8_t off[kPatternBytes] = {};
        shift(off, nullptr);
    }

    bool write_outputs(const uint16_t* codes, size_t count) override {
        if (count != 4) return false;
        set_outputs(codes);
        digitalWrite(kDacShutdown, HIGH);
        return true;
    }

    bool write_pattern(const uint8_t* packed, size_t size) override {
        if (size != kPatternBytes) return false;
        shift(packed, nullptr);
        digitalWrite(kPatternOff, LOW);
        return true;
    }

    bool read_pattern(uint8_t* packed, size_t size) override {
        if (size != kPatternBytes) return false;
        // What comes out of the far end while zeros go in is what the registers held; then it is put back.
        const uint8_t zeros[kPatternBytes] = {};
        shift(zeros, packed, false);
        shift(packed, nullptr, false);
        return true;
    }

    void pulse_trigger() override {
        digitalWrite(kTrigger, HIGH);
        delayMicroseconds(10);
        digitalWrite(kTrigger, LOW);
    }

    bool read_inputs(uint16_t* codes, size_t count, bool& clipped) override {
        for (size_t i = 0; i < count; ++i) codes[i] = static_cast<uint16_t>(analogRead(kInputs[i]));
        clipped = false;  // the host sees the largest code itself
        return count == 3;
    }

    void send(const uint8_t* bytes, size_t size) override { Serial.write(bytes, size); }

  private:
    void set_outputs(const uint16_t* codes) {
        SPI.beginTransaction(kDacBus);
        for (uint8_t i = 0; i < 4; ++i) {
            digitalWrite(kDacSelect[i / 2], LOW);
            // bit 15: channel B; bit 13: gain 1; bit 12: active
            SPI.transfer16(static_cast<uint16_t>(((i & 1) << 15) | 0x3000 | codes[i]));
            digitalWrite(kDacSelect[i / 2], HIGH);
        }
        SPI.endTransaction();
        digitalWrite(kDacLatch, LOW);
        delayMicroseconds(1);
        digitalWrite(kDacLatch, HIGH);
    }

    void shift(const uint8_t* in, uint8_t* out, bool latch = true) {
        SPI1.beginTransaction(kPatternBus);
        for (size_t i = 0; i < kPatternBytes; ++i) {
            const uint8_t back = SPI1.transfer(in[i]);
            if (out != nullptr) out[i] = back;
        }
        SPI1.endTransaction();
        if (!latch) return;
        digitalWrite(kPatternLatch, HIGH);
        delayMicroseconds(1);
        digitalWrite(kPatternLatch, LOW);
    }

    board::Capabilities capabilities_;
};

Pico pico;
board::Protocol protocol(pico);

}  // namespace

void setup() {
    pico.begin();
    protocol.start();
    Serial.begin(115200);
    // The chip's own watchdog, against this program: a reset leaves every output off by its pull resistor.
    rp2040.wdt_begin(1000);
}

void loop() {
    uint8_t bytes[64];
    size_t size = 0;
    while (size < sizeof bytes && Serial.available() > 0) bytes[size++] = static_cast<uint8_t>(Serial.read());
    protocol.receive(bytes, size);
    protocol.poll();
    rp2040.wdt_reset();
}

#endif
