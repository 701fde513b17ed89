// Drives one verilated chip through its Wishbone port. Compiled together with the model; Python
// calls the C functions at the end. Everything that happens once a cycle happens in here.

#include <cstdint>
#include <stdexcept>
#include <string>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

#ifdef TRACED
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "verilated_vcd_c.h"
#endif

// What Vtop::eval() comes down to, once the model is initialised, in a model of one thread that
// allocates nothing; its bookkeeping around it would cost a tenth of the speed.
void Vtop___024root___eval(Vtop___024root* root);

namespace {

constexpr int ack_deadline = 1000;

enum Result { ok = 0, not_yet = 1, no_ack = 2, failed = 3 };

#ifdef TRACED
// A file whose failure is told when it is closed, and does not end the process.
class TraceFile : public VerilatedVcdFile {
    int m_descriptor = -1;

public:
    int error = 0;

    bool open(const std::string& name) override {
        m_descriptor = ::open(name.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0666);
        if (m_descriptor < 0) error = errno;
        return m_descriptor >= 0;
    }

    void close() override {
        if (m_descriptor >= 0 && ::close(m_descriptor) && !error) error = errno;
        m_descriptor = -1;
    }

    ssize_t write(const char* data, ssize_t size) override {
        if (error) return size;
        const ssize_t written = ::write(m_descriptor, data, size);
        if (written < 0 && errno != EINTR) {
            error = errno;
            return size;
        }
        return written;
    }
};

// A cycle takes 10 units of time and begins with the rising edge.
class Trace {
    TraceFile m_file;
    VerilatedVcdC m_dump{&m_file};
    uint64_t m_left = 0;

public:
    bool on = false;
    uint64_t cycles = 0;

    int open(Vtop& top, const char* path, uint64_t cycles) {
        top.trace(&m_dump, 99);
        m_left = cycles;
        m_dump.open(path);
        return m_file.error;
    }

    int close() {
        on = false;
        m_dump.close();
        return m_file.error;
    }

    bool active() const { return on && m_left; }

    void rise(uint64_t cycle) {
        if (!active()) return;
        m_dump.dump(10 * cycle);
        ++cycles;
        --m_left;
    }

    void fall(uint64_t cycle) {
        if (active()) m_dump.dump(10 * cycle + 5);
    }
};
#else
struct Trace {
    constexpr bool active() const { return false; }
    void rise(uint64_t) {}
    void fall(uint64_t) {}
};
#endif

// Byte lanes and strobes of a classic cycle; Verilator writes a double underscore as ___05F.
struct Chip {
    VerilatedContext context;
    Vtop top{&context, ""};
    Trace trace;
    uint64_t cycles = 0;
    std::string error;

    Chip() {
        context.traceEverOn(true);
        top.eval();
        run(4);
    }

    ~Chip() { top.final(); }

    void evaluate() {
#ifdef TRACED
        top.eval();  // also notes that something may have changed
#else
        Vtop___024root___eval(top.rootp);
#endif
    }

    void rise() {
        top.clk = 1;
        evaluate();
        ++cycles;
        trace.rise(cycles);
    }

    void fall() {
        top.clk = 0;
        evaluate();
        trace.fall(cycles);
    }

    // Clock edges while no input changes. A falling edge only takes over inputs and lets the model
    // see the next rising one; so after the first the model is told that it has seen it.
    void run(uint64_t count) {
        if (count) fall();
        for (uint64_t k = 0; k < count; ++k) {
            if (trace.active() && k) fall();
            top.rootp->__Vtrigprevexpr___TOP__clk__0 = 0;
            rise();
        }
    }

    // One access; the answer is sampled just before the clock edge that ends it.
    bool access(uint32_t address, bool we, uint32_t& data) {
        top.bus___05Fadr = address >> 2;
        top.bus___05Fwe = we;
        top.bus___05Fdat_w = data;
        top.bus___05Fsel = 0xf;
        top.bus___05Fcyc = 1;
        top.bus___05Fstb = 1;
        bool ack = false;
        for (int k = 0; k < ack_deadline && !ack; ++k) {
            fall();
            ack = top.bus___05Fack;
            if (!we) data = top.bus___05Fdat_r;
            rise();
        }
        top.bus___05Fcyc = 0;
        top.bus___05Fstb = 0;
        return ack;
    }
};

// Assertions of the design end in these; they become an error of the call instead of an abort.
[[noreturn]] void raise(const char* file, int line, const char* message) {
    throw std::runtime_error(std::string(message) + " at " + file + ":" + std::to_string(line));
}

template <typename Body>
int guarded(Chip* chip, Body body) {
    try {
        return body();
    } catch (const std::exception& error) {
        chip->error = error.what();
        return failed;
    }
}

}  // namespace

void vl_fatal(const char* file, int line, const char*, const char* message) {
    raise(file, line, message);
}

void vl_stop(const char* file, int line, const char*) { raise(file, line, "assertion failed"); }

void vl_finish(const char* file, int line, const char*) { raise(file, line, "$finish"); }

#pragma GCC visibility push(default)
extern "C" {

void* chip_open() {
    try {
        return new Chip;
    } catch (const std::exception&) {
        return nullptr;
    }
}

void chip_close(Chip* chip) { delete chip; }

uint64_t chip_cycles(const Chip* chip) { return chip->cycles; }

const char* chip_error(const Chip* chip) { return chip->error.c_str(); }

int chip_run(Chip* chip, uint64_t count) {
    return guarded(chip, [&] {
        chip->run(count);
        return ok;
    });
}

// Words from consecutive addresses; *done counts those that were acknowledged.
int chip_read(Chip* chip, uint32_t address, uint32_t* words, uint64_t count, uint64_t* done) {
    return guarded(chip, [&] {
        for (*done = 0; *done < count; ++*done) {
            if (!chip->access(address + 4 * *done, false, words[*done])) return no_ack;
        }
        return ok;
    });
}

int chip_write(Chip* chip, uint32_t address, const uint32_t* words, uint64_t count,
               uint64_t* done) {
    return guarded(chip, [&] {
        for (*done = 0; *done < count; ++*done) {
            uint32_t word = words[*done];
            if (!chip->access(address + 4 * *done, true, word)) return no_ack;
        }
        return ok;
    });
}

// Run until the word is as expected, reading it every `interval` cycles; not_yet after max_cycles.
int chip_wait(Chip* chip, uint32_t address, uint32_t mask, uint32_t value, uint64_t interval,
              uint64_t max_cycles, uint32_t* word) {
    return guarded(chip, [&] {
        const uint64_t end = chip->cycles + max_cycles;
        for (;;) {
            if (!chip->access(address, false, *word)) return no_ack;
            if ((*word & mask) == value) return ok;
            if (chip->cycles >= end) return not_yet;
            chip->run(interval);
        }
    });
}

#ifdef TRACED
// Begin a file for at most `cycles` cycles; 0, or the system's number of an error.
int chip_trace_open(Chip* chip, const char* path, uint64_t cycles) {
    return chip->trace.open(chip->top, path, cycles);
}

void chip_trace(Chip* chip, bool on) { chip->trace.on = on; }

uint64_t chip_trace_cycles(const Chip* chip) { return chip->trace.cycles; }

int chip_trace_close(Chip* chip) { return chip->trace.close(); }
#endif

}  // extern "C"
#pragma GCC visibility pop
