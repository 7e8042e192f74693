// Normal noise as torch's generator on a CPU draws it: the same words of MT19937 (Matsumoto and Nishimura 1998) turned by
// Box and Muller's transform, 16 at a time. Torch does it one number after another.
typedef uint32_t Word __attribute__((may_alias));  // they are written where the numbers will be
struct Twister {
  uint32_t s[624];
  int64_t used;

  void next() {
    auto mixed = [](uint32_t a, uint32_t b) {
      uint32_t y = (a & 0x80000000u) | (b & 0x7fffffffu);
      return (y >> 1) ^ (b & 1 ? 0x9908b0dfu : 0u);
    };
    for (int i = 0; i < 227; ++i) s[i] = s[i + 397] ^ mixed(s[i], s[i + 1]);
#pragma GCC ivdep
    for (int i = 227; i < 623; ++i) s[i] = s[i - 227] ^ mixed(s[i], s[i + 1]);
    s[623] = s[396] ^ mixed(s[623], s[0]);
    used = 0;
  }
  void words(Word *to, int64_t n) {
    while (n) {
      if (used == 624) next();
      int64_t m = n < 624 - used ? n : 624 - used;
      for (int64_t i = 0; i < m; ++i) {
        uint32_t y = s[used + i];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        to[i] = y ^ (y >> 18);
      }
      used += m, to += m, n -= m;
    }
  }
};
static inline void circle(float u, float &c, float &s) {  // cos and sin of 2 pi u for u in [0, 1)
  float k = std::nearbyint(4 * u), r = (4 * u - k) * 1.57079633f, z = r * r;
  float sine = r * (1 + z * (-1 / 6.f + z * (1 / 120.f + z * (-1 / 5040.f + z * (1 / 362880.f)))));
  float cosine = 1 + z * (-0.5f + z * (1 / 24.f + z * (-1 / 720.f + z * (1 / 40320.f))));
  int32_t quarter = static_cast<int32_t>(k);
  float a = quarter & 1 ? sine : cosine, b = quarter & 1 ? cosine : sine;
  c = (quarter + 1) & 2 ? -a : a;
  s = quarter & 2 ? -b : b;
}
static inline void circle(double u, double &c, double &s) {
  double angle = 6.283185307179586 * u;
  c = std::cos(angle), s = std::sin(angle);
}
static inline void uniforms(const Word *w, float *u) {
  for (int i = 0; i < 16; ++i) u[i] = static_cast<int32_t>(w[i] & 0xffffffu) * 0x1p-24f;
}
static inline void uniforms(const Word *w, double *u) {
  for (int i = 0; i < 16; ++i) u[i] = ((uint64_t{w[2 * i]} << 32 | w[2 * i + 1]) & 0x1fffffffffffffu) * 0x1p-53;
}
// out[n], n a multiple of 16; ``state`` is what torch's get_state returns, and moves on.
template <class T> static void normals(char *state, T *out, int64_t n, int64_t threads) {
  constexpr int64_t EACH = sizeof(T) / 4, LEFT = 8, NEXT = 16, WORDS = 24;
  Twister twister;
  int32_t left;
  std::memcpy(&left, state + LEFT, 4);
  twister.used = 625 - left;
  for (int i = 0; i < 624; ++i) std::memcpy(&twister.s[i], state + WORDS + 8 * i, 4);
  Word *words = reinterpret_cast<Word *>(out);
  twister.words(words, EACH * n);
  auto slice = [&](int64_t t) {
    for (int64_t i = t * (n / 16) / threads * 16; i < (t + 1) * (n / 16) / threads * 16; i += 16) {
      T u[16];
      uniforms(words + EACH * i, u);
      for (int j = 0; j < 8; ++j) {
        T radius = std::sqrt(T(-2) * log_of(1 - u[j])), c, s;
        circle(u[j + 8], c, s);
        out[i + j] = radius * c;
        out[i + j + 8] = radius * s;
      }
    }
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < threads; ++t) others.emplace_back(slice, t);
  slice(0);
  for (auto &t : others) t.join();
  left = static_cast<int32_t>(625 - twister.used);
  std::memcpy(state + LEFT, &left, 4);
  std::memcpy(state + NEXT, &twister.used, 8);
  for (int i = 0; i < 624; ++i) std::memcpy(state + WORDS + 8 * i, &twister.s[i], 4);
}

extern "C" void normals_float32(char *state, float *out, int64_t n, int64_t threads) { normals(state, out, n, threads); }
extern "C" void normals_float64(char *state, double *out, int64_t n, int64_t threads) { normals(state, out, n, threads); }
