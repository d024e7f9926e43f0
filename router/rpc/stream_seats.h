#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace tarn::router {

// Streams that one router holds open at a time. They cost memory, not threads.
inline constexpr int kStreamsMax = 8192;

// Seats for long-lived streams; who finds none is told `overloaded`. Thread-safe. Outlives its
// seats.
class StreamSeats {
 public:
  // Held by a stream for its life. Empty when there was none left.
  class Seat {
   public:
    explicit Seat(std::atomic<int>* taken) : x_taken(taken) {}
    Seat(Seat&& other) noexcept : x_taken(std::exchange(other.x_taken, nullptr)) {}
    Seat& operator=(Seat&&) = delete;
    ~Seat() {
      if (x_taken != nullptr) x_taken->fetch_sub(1);
    }
    explicit operator bool() const { return x_taken != nullptr; }

   private:
    std::atomic<int>* x_taken;
  };

  explicit StreamSeats(int seats_max = kStreamsMax) : x_seats_max(seats_max) {}

  Seat take() {
    if (x_taken.fetch_add(1) < x_seats_max) return Seat(&x_taken);
    x_taken.fetch_sub(1);
    return Seat(nullptr);
  }
  int taken() const { return x_taken.load(); }

 private:
  const int x_seats_max;
  std::atomic<int> x_taken = 0;
};

}  // namespace tarn::router
