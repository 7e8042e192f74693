// Read first of the three files that make one source: functions.cpp, noise.cpp, fused.cpp.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

// Functions that compilers can run on whole vectors: float ones are written out, double ones are the library's.
// 2^k for whole k of a float's range.
static inline float power_of_two(float k) {
  int32_t bits = (static_cast<int32_t>(k == k ? k : 0) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return power;
}
static inline double exp_of(double x) { return std::exp(x); }
static inline float exp_of(float x) {
  float c = x > 88.7f ? 88.7f : (x < -87.f ? -87.f : x), k = std::nearbyint(c * 1.44269504f);
  float r = (c - k * 0.693359375f) + k * 2.12194440e-4f;
  float e = 1 + r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f))))));
  e *= power_of_two(k > 127 ? 127 : k);
  e = k > 127 ? 2 * e : e;
  return x > 88.7228f ? INFINITY : (x < -87.3f ? 0 : (x == x ? e : x));
}
static inline double log_of(double x) { return std::log(x); }
static inline float log_of(float x) {  // m in [sqrt(1/2), sqrt(2)), log m by the series of artanh
  int32_t bits;
  std::memcpy(&bits, &x, 4);
  int32_t shifted = bits - 0x3f3504f3, k = shifted >> 23;
  bits -= k << 23;
  float m;
  std::memcpy(&m, &bits, 4);
  float s = (m - 1) / (m + 1), z = s * s;
  float log_m = 2 * s * (1 + z * (1 / 3.f + z * (1 / 5.f + z * (1 / 7.f + z * (1 / 9.f)))));
  float y = k * 0.69314718f + log_m;
  y = x == INFINITY ? x : y;
  return x > 0 ? y : (x == 0 ? -INFINITY : NAN);
}
template <class T> static inline T log1p_of(T e) {  // of what log(1 + e) loses to rounding of 1 + e, the quotient gives back
  T u = 1 + e, d = u - 1;
  return d == 0 ? e : (u == INFINITY ? u : log_of(u) * (e / d));
}
// tanh to rounding: an odd series near 0, (e - 1) / (e + 1) with e = exp(2x) beyond. Not a number stays not a number.
static inline double tanh_of(double x) { return std::tanh(x); }
static inline float tanh_of(float x) {
  float a = std::fabs(x), z = x * x;
  // Taylor terms up to x^13, whose rest is below rounding for |x| < 0.5
  float near = x + x * z * (-1 / 3.f + z * (2 / 15.f + z * (-17 / 315.f + z * (62 / 2835.f +
               z * (-1382 / 155925.f + z * (21844 / 6081075.f + z * (-929569 / 638512875.f)))))));
  float t = 2 * (a < 9.5f ? a : (a >= 9.5f ? 9.5f : a)) * 1.44269504f;
  float k = std::nearbyint(t), r = (t - k) * 0.69314718f;
  float e = 1 + r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f))))));
  e *= power_of_two(k);
  float far = 1 - 2 / (e + 1);
  far = x < 0 ? -far : far;
  return a < 0.5f ? near : far;
}
// (1 + erf(x / sqrt 2)) / 2, the normal distribution function; float: Chebyshev fit of erfc to 1.2e-7 of its value
// (Press et al., Numerical Recipes, 6.2).
static inline double normal_of(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
static inline float normal_of(float x) {
  float z = std::fabs(x) * 0.70710678f, t = 1 / (1 + 0.5f * z);
  float p = -1.26551223f + t * (1.00002368f + t * (0.37409196f + t * (0.09678418f + t * (-0.18628806f +
            t * (0.27886807f + t * (-1.13520398f + t * (1.48851587f + t * (-0.82215223f + t * 0.17087277f))))))));
  float half = 0.5f * t * exp_of(p - z * z);
  return x > 0 ? 1 - half : half;
}
template <class T> static inline T sigmoid_of(T x) { return 1 / (1 + exp_of(-x)); }
