// Library mathematics in f32 and f64.
extern "C" __global__ void maths(const float *x, float *y, const double *u, double *v)
{
    int t = threadIdx.x, n = blockDim.x;
    float a = x[t];
    y[t] = sinf(a), y[t + n] = expf(a), y[t + 2 * n] = logf(fabsf(a) + 1), y[t + 3 * n] = powf(fabsf(a), 1.5f);
    y[t + 4 * n] = tanhf(a), y[t + 5 * n] = erff(a), y[t + 6 * n] = 1 / sqrtf(fabsf(a) + 1), y[t + 7 * n] = cosf(1e6f * a);
    double d = u[t];
    v[t] = sin(d), v[t + n] = exp(d), v[t + 2 * n] = log(fabs(d) + 1), v[t + 3 * n] = pow(fabs(d) + 0.5, 2.5);
    v[t + 4 * n] = tanh(d), v[t + 5 * n] = erf(d), v[t + 6 * n] = 1 / (d + 3), v[t + 7 * n] = cbrt(d);
}
