/* The page is complete. */
export const ready = () => {
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
};
