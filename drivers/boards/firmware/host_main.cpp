// The firmware on a computer: the same protocol over a pseudo-terminal, or over standard input and output.
//
//   g++ -std=c++17 -O2 -o board host_main.cpp protocol.cpp frames.cpp simulated_board.cpp
//   ./board [--line /dev/pts/N] [--log FILE] [--dac N] [--adc N] [--bits N] [--watchdog MS] [--version N] [--id N]
//           [--stuck N] [--real]
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "protocol.hpp"
#include "simulated_board.hpp"

namespace {

volatile sig_atomic_t stopped = 0;

void stop(int) { stopped = 1; }

board::Capabilities capabilities;

}  // namespace

int main(int count, char** words) {
    capabilities.simulated = true;
    capabilities.dac_channels = 8;
    capabilities.dac_bits = 12;
    capabilities.adc_channels = 4;
    capabilities.adc_bits = 12;
    capabilities.trigger = true;
    capabilities.dac_high_uv = capabilities.adc_high_uv = 3300000;
    capabilities.name = "host";
    const char *line = nullptr, *log = nullptr;
    int version = board::kVersion, stuck = -1;
    for (int i = 1; i < count; ++i) {
        if (strcmp(words[i], "--real") == 0) {  // for tests of hosts: say that there are real outputs
            capabilities.simulated = false;
            continue;
        }
        if (i + 1 == count) {
            fprintf(stderr, "%s must be followed by a value\n", words[i]);
            return 2;
        }
        const char *name = words[i], *value = words[++i];
        const int number = atoi(value);
        if (strcmp(name, "--line") == 0) line = value;
        else if (strcmp(name, "--log") == 0) log = value;
        else if (strcmp(name, "--dac") == 0) capabilities.dac_channels = static_cast<uint16_t>(number);
        else if (strcmp(name, "--adc") == 0) capabilities.adc_channels = static_cast<uint16_t>(number);
        else if (strcmp(name, "--bits") == 0) capabilities.pattern_bits = static_cast<uint16_t>(number);
        else if (strcmp(name, "--watchdog") == 0) capabilities.watchdog_ms = static_cast<uint32_t>(number);
        else if (strcmp(name, "--id") == 0) capabilities.unique_id[7] = static_cast<uint8_t>(number);
        else if (strcmp(name, "--version") == 0) version = number;
        else if (strcmp(name, "--stuck") == 0) stuck = number;
        else {
            fprintf(stderr, "%s is not a known option\n", name);
            return 2;
        }
    }
    if (capabilities.dac_channels > board::kMaxChannels || capabilities.adc_channels > board::kMaxChannels ||
        capabilities.pattern_bits > 8 * board::kMaxPayload) {
        fprintf(stderr, "at most %zu channels and %zu bits\n", board::kMaxChannels, 8 * board::kMaxPayload);
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    const int in = line == nullptr ? 0 : open(line, O_RDWR | O_NOCTTY | O_NONBLOCK);
    const int out = line == nullptr ? 1 : in;
    const int journal = log == nullptr ? -1 : open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (in < 0 || (log != nullptr && journal < 0)) {
        perror(in < 0 ? line : log);
        return 2;
    }
    fcntl(in, F_SETFL, fcntl(in, F_GETFL) | O_NONBLOCK);
    fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK);

    static board::SimulatedBoard hardware(capabilities, out, journal);
    static board::Protocol protocol(hardware, static_cast<uint8_t>(version));
    hardware.stick(stuck);
    protocol.start();
    const pid_t parent = getppid();
    while (stopped == 0 && getppid() == parent) {
        pollfd wait = {in, POLLIN, 0};
        // The watchdog is looked at once a millisecond, however quiet the line is.
        if (poll(&wait, 1, protocol.idle() ? 1 : 0) > 0) {
            uint8_t bytes[4096];
            const ssize_t size = read(in, bytes, sizeof bytes);
            if (size > 0) protocol.receive(bytes, static_cast<size_t>(size));
            // A pipe that was closed is the end; a pseudo-terminal that nobody holds open is a silent host.
            else if (size == 0 && line == nullptr && !isatty(in)) break;
            else if (protocol.idle()) hardware.wait_us(1000);
        }
        protocol.poll();
    }
    hardware.make_safe();
    return 0;
}
