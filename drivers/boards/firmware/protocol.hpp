// Answers a host's frames, and makes the outputs safe when the host is silent.
//
// States: SAFE after start, on request and when a host introduces itself; ARMED on request; TRIPPED when no valid frame
// came for the watchdog's time while armed. Outputs move in ARMED alone. TRIPPED is left by an explicit ARM, never by
// itself. Nothing is allocated; one object holds everything.
#pragma once

#include "board.hpp"
#include "frames.hpp"

namespace board {

constexpr uint8_t kFirmware[3] = {1, 0, 0};
// The host keeps at most kCredits frames in flight. Two slots beyond that let it ask for the status of a full board.
constexpr size_t kCredits = 8;
constexpr size_t kSlots = kCredits + 2;
constexpr size_t kMaxChannels = 240;

enum Type : uint8_t {
    kIdentify = 1,
    kStatus = 2,
    kArm = 3,
    kSafe = 4,
    kPlay = 5,
    kPattern = 6,
    kReadBack = 7,
    kReply = 0x80,  // added to the type of what is answered
    kError = 0xFF,
};

enum class Error : uint8_t {
    kVersion = 1,
    kUnknownType = 2,
    kBadLength = 3,
    kOutOfRange = 4,
    kNotArmed = 5,
    kTripped = 6,
    kOverflow = 7,
    kStale = 8,
    kHardware = 9,
};

enum class State : uint8_t { kSafe = 0, kArmed = 1, kTripped = 2 };

class Protocol {
  public:
    // `version` differs from kVersion only in tests of hosts.
    explicit Protocol(Board& board, uint8_t version = kVersion) : board_(board), version_(version) {}

    void start();                                      // once, before anything else
    void receive(const uint8_t* bytes, size_t size);   // whatever the line gave
    void poll();                                       // often: the watchdog, and at most one queued frame

    State state() const { return state_; }
    bool idle() const { return used_ == 0; }

  private:
    void accept();
    void execute(const Frame& frame);
    void identify(uint32_t sequence);
    void status(uint32_t sequence);
    void arm(const Frame& frame);
    void safe(uint32_t sequence);
    void play(const Frame& frame);
    void read_back(uint32_t sequence);
    bool apply(const Frame& frame, uint32_t& crc, Error& why);
    bool fresh(const Frame& frame);
    void reply(uint8_t type, uint32_t sequence, const uint8_t* payload, size_t size);
    void refuse(const Frame& frame, Error why);

    Board& board_;
    uint8_t version_;
    State state_ = State::kSafe;
    Decoder decoder_;
    Frame incoming_;
    Frame slots_[kSlots];
    size_t first_ = 0, used_ = 0, peak_ = 0;
    uint8_t encoded_[kMaxEncoded] = {};
    uint16_t codes_[kMaxChannels] = {};
    uint8_t pattern_[kMaxPayload] = {};
    uint32_t last_ = 0;        // newest sequence number that was acted upon
    uint32_t heard_ms_ = 0;    // last sign of life
    uint32_t watchdog_ms_ = 0;
    uint32_t settle_us_ = 0;
    uint32_t applied_crc_ = 0;
    uint32_t frames_ = 0, bad_crc_ = 0, bad_cobs_ = 0, oversize_ = 0, overflow_ = 0, stale_ = 0, trips_ = 0, rows_ = 0;
};

}  // namespace board
