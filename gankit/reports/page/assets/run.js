const data = JSON.parse(document.getElementById("data").textContent);

function showSamples() {
  const slider = document.getElementById("sample-slider");
  if (!slider) return;
  const play = document.getElementById("sample-play");
  const image = document.getElementById("sample-picture");
  const newest = image.src; // is not in the data again
  let timer = null;
  const show = () => {
    const { label, picture = newest } = data.samples[slider.valueAsNumber];
    image.src = picture;
    image.alt = `Generated images, ${label}`;
    document.getElementById("sample-label").textContent = label;
    slider.setAttribute("aria-valuetext", label);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  slider.addEventListener("input", show);
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
    if (slider.valueAsNumber === data.samples.length - 1) slider.value = 0;
    timer = setInterval(() => {
      slider.value = slider.valueAsNumber + 1;
      show();
      if (slider.valueAsNumber === data.samples.length - 1) stop();
    }, 250);
    show();
  });
  show();
}

function showCharts() {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const group = new ChartGroup(holder, data.charts, data);
  const axis = document.getElementById("axis");
  for (const option of [...axis.options]) if (!(option.value in data.positions)) option.remove();
  axis.addEventListener("change", () => group.setAxis(axis.value));
  const smooth = document.getElementById("smooth");
  smooth.addEventListener("change", () => group.setSmooth(smooth.checked));
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => group.zoom(button.dataset.zoom));
  }
}

showSamples();
showCharts();
